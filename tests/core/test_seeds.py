from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.seeds import rng, seed_of

names = st.lists(st.integers() | st.text(st.characters(codec="utf-8", exclude_characters="\x1f")), max_size=3)


def test_a_draw_is_the_same_on_every_machine_and_in_every_release() -> None:
    assert seed_of(7, "examples", 3) == 13403139649225454009
    assert rng(7, "examples", 3).integers(0, 1000, 4).tolist() == [100, 336, 456, 829]


@settings(deadline=None)
@given(st.integers(0, 1 << 63), names, names)
def test_another_purpose_draws_differently_and_the_same_one_equally(
    seed: int, first: list[str], second: list[str]
) -> None:
    same = list(map(str, first)) == list(map(str, second))
    assert (seed_of(seed, *first) == seed_of(seed, *second)) is same
    assert 0 <= seed_of(seed, *first) < 1 << 64


def test_one_purpose_is_not_disturbed_by_draws_for_another() -> None:
    alone = rng(0, "a").random(3).tolist()
    other = rng(0, "b")
    generator = rng(0, "a")
    mixed = []
    for _ in range(3):
        other.random()
        mixed.append(generator.random())
    assert mixed == alone
