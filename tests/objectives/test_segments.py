import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.seeds import rng
from pipeline.objectives.segments import (
    Document,
    Pair,
    StaticMasks,
    lay_out,
    lone,
    single_segments,
    target_length,
    to_table,
)
from pipeline.tables import Next, examples_schema
from tests.objectives.conftest import CLS, SEP, documents, numbered, row_of, segments


def cut_as_google(first: int, second: int, limit: int) -> tuple[int, int]:
    while first + second > limit:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 60), st.integers(0, 99))
def test_segments_lose_as_many_tokens_as_in_the_original_loop(first: int, second: int, limit: int, seed: int) -> None:
    encoded = numbered([[first], [second]])
    pair = Pair(0, first, 0, first, first + second, 1, Next.RANDOM)
    examples = lay_out(encoded, [pair], sequence_length=limit + 3, cls_id=CLS, sep_id=SEP, rng=rng(seed))
    a, b = segments(examples, 0)
    assert (len(a), len(b)) == cut_as_google(first, second, limit)
    assert (row_of(encoded, a), row_of(encoded, b)) == (0, 1)


def test_tokens_are_lost_from_front_and_back_at_even_odds() -> None:
    encoded = numbered([[1000], [10]])
    pair = Pair(0, 1000, 0, 1000, 1010, 1, Next.RANDOM)
    examples = lay_out(encoded, [pair] * 400, sequence_length=113, cls_id=CLS, sep_id=SEP, rng=rng(5))
    fronts = [segments(examples, at)[0][0] for at in range(400)]
    assert abs(np.mean(fronts) - 450) < 4 * np.sqrt(900 / 4 / 400)
    assert np.var(fronts) == pytest.approx(900 / 4, rel=0.35)


@given(documents, st.integers(5, 40), st.sampled_from([0.0, 0.5]), st.integers(0, 99))
def test_single_segments_use_every_token_once(lengths: list[list[int]], limit: int, short: float, seed: int) -> None:
    encoded = numbered(lengths)
    examples = single_segments(
        encoded, sequence_length=limit, short_probability=short, cls_id=CLS, sep_id=SEP, rng=rng(seed)
    )
    firsts = [segments(examples, at)[0] for at in range(len(examples))]
    assert [token for first in firsts for token in first] == list(range(len(encoded.ids_N)))
    assert [row_of(encoded, first) for first in firsts] == examples.first_row.tolist()
    assert set(examples.second_row.tolist()) <= {-1}
    assert set(examples.label.tolist()) <= {Next.NONE}
    assert np.diff(examples.at).max(initial=0) <= limit


def test_single_segments_are_full_but_for_the_last_of_a_document() -> None:
    examples = single_segments(
        numbered([[7, 8, 9], [3]]), sequence_length=12, short_probability=0, cls_id=CLS, sep_id=SEP, rng=rng(1)
    )
    assert np.diff(examples.at).tolist() == [12, 12, 6, 5]


def test_targets_are_short_as_often_as_asked_and_uniform_then() -> None:
    generator = rng(3)
    targets = np.array([target_length(100, 0.1, generator) for _ in range(20_000)])
    short = targets[targets < 100]
    assert abs(len(short) / len(targets) - 0.1 * 98 / 99) < 4 * np.sqrt(0.09 / len(targets))
    assert short.min() == 2
    assert abs(short.mean() - 50.5) < 4 * np.sqrt(98**2 / 12 / len(short))


def test_a_document_reaches_for_whole_sentences_up_to_its_end() -> None:
    document = Document(0, [0, 5, 9, 20])
    assert [document.reach(0, tokens) for tokens in (-3, 1, 5, 6, 9, 10, 99)] == [1, 1, 1, 2, 2, 3, 3]
    assert document.reach(2, 1) == 3


@pytest.mark.parametrize("vocab_size", [1000, 100_000])
def test_the_table_has_the_schema_of_examples(vocab_size: int) -> None:
    examples = lay_out(
        numbered([[2, 3]]),
        [Pair(0, 2, 0, 2, 5, 0, Next.NEXT), lone(0, 0, 2)],
        sequence_length=16,
        cls_id=CLS,
        sep_id=SEP,
        rng=rng(1),
    )
    table = to_table(examples, vocab_size)
    table.validate(full=True)
    assert table.schema == examples_schema(vocab_size, static_masks=False)
    assert table.to_pylist() == [
        {"ids": [1, 10, 11, 2, 12, 13, 14, 2], "second_at": 4, "label": 0, "first_row": 0, "second_row": 0},
        {"ids": [1, 10, 11, 2], "second_at": 4, "label": 2, "first_row": 0, "second_row": -1},
    ]


def test_the_table_of_static_masks_holds_the_masked_ids() -> None:
    examples = lay_out(numbered([[3]]), [lone(0, 0, 3)], sequence_length=16, cls_id=CLS, sep_id=SEP, rng=rng(1))
    masks = StaticMasks(np.array([1, 10, 4, 12, 2]), np.array([2]), np.array([11]), np.array([0, 1]))
    table = to_table(examples, 1000, masks)
    assert table.schema == examples_schema(1000, static_masks=True)
    row = table.to_pylist()[0]
    assert (row["ids"], row["masked_at"], row["masked_ids"]) == ([1, 10, 4, 12, 2], [2], [11])


def test_no_documents_make_no_examples() -> None:
    examples = single_segments(
        numbered([]), sequence_length=12, short_probability=0.1, cls_id=CLS, sep_id=SEP, rng=rng(1)
    )
    assert len(examples) == 0
    assert to_table(examples, 1000).num_rows == 0
