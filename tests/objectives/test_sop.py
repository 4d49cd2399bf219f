import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.objectives.segments import Examples
from pipeline.objectives.sop import pairs
from pipeline.tables import Next
from pipeline.text.encoded import Encoded
from tests.objectives.conftest import CLS, SEP, documents, keys, numbered, row_of, rows, segments, tokens


def made(encoded: Encoded, *, limit: int = 32, short: float = 0.1, seed: int = 0) -> Examples:
    settings = {"sequence_length": limit, "short_probability": short, "cls_id": CLS, "sep_id": SEP}
    return pairs(encoded, keys(encoded), **settings, seed=seed)


@given(documents, st.integers(5, 40), st.integers(0, 99))
def test_both_segments_are_neighbours_in_the_document_they_name(
    lengths: list[list[int]], limit: int, seed: int
) -> None:
    encoded = numbered(lengths)
    examples = made(encoded, limit=limit, short=0.3, seed=seed)
    assert np.diff(examples.at).max(initial=0) <= limit
    for at in range(len(examples)):
        first, second = segments(examples, at)
        assert [row_of(encoded, first)] == rows(examples, at)
        if examples.label[at] == Next.NONE:
            assert second == []
            continue
        assert [row_of(encoded, second)] == rows(examples, at)
        assert (first[0] < second[0]) == (examples.label[at] == Next.NEXT)


@given(documents, st.integers(0, 99))
def test_every_token_is_used_once(lengths: list[list[int]], seed: int) -> None:
    encoded = numbered(lengths)
    examples = made(encoded, limit=len(encoded.ids_N) + 8, short=1.0, seed=seed)
    used = [token for at in range(len(examples)) for segment in segments(examples, at) for token in segment]
    assert sorted(used) == list(range(len(encoded.ids_N)))


def test_half_the_pairs_are_swapped() -> None:
    labels = made(numbered([[3] * 20_000])).label
    assert abs((labels == Next.RANDOM).mean() - 0.5) < 4 * np.sqrt(0.25 / len(labels))


def test_the_same_seed_gives_the_same_examples_and_another_gives_others() -> None:
    encoded = numbered([[4, 5, 6] * 30] * 4)
    assert made(encoded).ids.tolist() == made(encoded).ids.tolist()
    assert made(encoded).ids.tolist() != made(encoded, seed=1).ids.tolist()


def test_a_sentence_longer_than_an_example_is_cut_into_several() -> None:
    examples = made(numbered([[100]]), limit=16, short=0)
    used = [token for at in range(len(examples)) for token in tokens(examples, at)]
    assert used == list(range(100))
    assert np.diff(examples.at).max() == 15  # one piece, with room for a B that is not there
