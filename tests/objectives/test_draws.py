import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.objectives.draws import advance, below, draw, mix, share, start

BITS = st.integers(0, 2**64 - 1).map(np.uint64)


def test_the_stream_is_that_of_the_reference_implementation() -> None:
    """Sebastiano Vigna's splitmix64.c, seeded with 1234567."""
    state = np.array([start(1234567)])
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [int(advance(state)) for _ in range(5)] == expected


@given(BITS, st.integers(1, 1000))
def test_a_numbered_draw_is_the_one_that_reading_in_order_comes_to(bits: np.uint64, number: int) -> None:
    state = np.array([bits])
    *_, last = (advance(state) for _ in range(number))
    assert int(draw(bits, np.uint64(number))) == int(last)


@given(BITS, st.integers(1, 2**31))
def test_draws_stay_below_their_bound(bits: np.uint64, bound: int) -> None:
    assert 0 <= below(bits, bound) < bound
    assert 0 <= share(bits) < 1


def test_draws_are_even() -> None:
    drawn = np.array([below(np.uint64(mix(np.uint64(number))), 7) for number in range(7000)])
    counts = np.bincount(drawn, minlength=7)
    assert ((counts - 1000) ** 2 / 1000).sum() < 6 + 4 * np.sqrt(12)
