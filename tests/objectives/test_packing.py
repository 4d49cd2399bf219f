import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.objectives.packing import full_sentences
from pipeline.objectives.segments import Examples
from pipeline.tables import Next
from pipeline.text.encoded import Encoded
from tests.objectives.conftest import CLS, SEP, documents, keys, numbered, row_of, rows, stretches, tokens


def made(encoded: Encoded, *, limit: int = 32, short: float = 0.0, seed: int = 0) -> Examples:
    settings = {"sequence_length": limit, "short_probability": short, "cls_id": CLS, "sep_id": SEP}
    return full_sentences(encoded, keys(encoded), **settings, seed=seed)


@given(documents, st.integers(4, 40), st.sampled_from([0.0, 0.5]), st.integers(0, 99))
def test_every_token_is_used_once_in_its_order(lengths: list[list[int]], limit: int, short: float, seed: int) -> None:
    encoded = numbered(lengths)
    examples = made(encoded, limit=limit, short=short, seed=seed)
    used = [token for at in range(len(examples)) for stretch in stretches(examples, at) for token in stretch]
    assert used == list(range(len(encoded.ids_N)))
    assert np.diff(examples.at).max(initial=0) <= limit
    assert set(examples.label.tolist()) <= {Next.NONE}
    assert examples.second_at.tolist() == np.diff(examples.at).tolist()


@given(documents, st.integers(4, 40), st.integers(0, 99))
def test_a_separator_stands_between_documents_and_nowhere_else(lengths: list[list[int]], limit: int, seed: int) -> None:
    encoded = numbered(lengths)
    examples = made(encoded, limit=limit, seed=seed)
    for at in range(len(examples)):
        named = [row_of(encoded, stretch) for stretch in stretches(examples, at)]
        assert named == sorted(set(named)) == rows(examples, at)


@given(documents, st.integers(16, 40))
def test_examples_hold_whole_sentences_and_are_as_full_as_they_allow(lengths: list[list[int]], limit: int) -> None:
    encoded = numbered(lengths)
    examples = made(encoded, limit=limit)
    for at in range(len(examples) - 1):
        before, following = tokens(examples, at), stretches(examples, at + 1)[0][0]
        assert before[0] in encoded.sentence_at
        sentence = int(np.searchsorted(encoded.sentence_at, following))
        needed = int(np.diff(encoded.sentence_at)[sentence])
        needed += row_of(encoded, [following]) != row_of(encoded, [before[-1]])
        assert examples.at[at + 1] - examples.at[at] + needed > limit


def test_a_sentence_longer_than_an_example_is_cut_into_full_ones_and_a_rest() -> None:
    examples = made(numbered([[5, 35, 2]]), limit=12)
    assert np.diff(examples.at).tolist() == [7, 12, 12, 12, 9]


def test_short_examples_are_drawn_one_by_one() -> None:
    lengths = np.diff(made(numbered([[1] * 200_000]), limit=102, short=0.1).at) - 2
    short = lengths[lengths < 100]
    assert abs(len(short) / len(lengths) - 0.1 * 98 / 99) < 4 * np.sqrt(0.09 / len(lengths))
    assert short.min() == 2
    assert abs(short.mean() - 50.5) < 4 * np.sqrt(98**2 / 12 / len(short))


def test_no_documents_make_no_examples() -> None:
    assert len(made(numbered([]))) == len(made(numbered([[], []]))) == 0
