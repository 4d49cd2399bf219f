import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.objectives.draws import start
from pipeline.objectives.segments import Drawn, StaticMasks, capped, draw_target, fit, lay_out, reach, to_table
from pipeline.tables import Next, examples_schema
from tests.objectives.conftest import CLS, SEP, documents, numbered, stretches


def cut_as_google(first: int, second: int, limit: int) -> tuple[int, int]:
    while first + second > limit:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


def fitted(first: int, second: int, limit: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    pair_P3 = np.array([[0, first, 0], [first, first + second, 1]])
    fit(np.array([start(seed)]), pair_P3[0], pair_P3[1], limit)
    return pair_P3


@given(st.integers(1, 200), st.integers(1, 200), st.integers(2, 260), st.integers(0, 99))
def test_segments_lose_as_many_tokens_as_in_the_original_loop(first: int, second: int, limit: int, seed: int) -> None:
    (a, a_end, _), (b, b_end, _) = fitted(first, second, limit, seed).tolist()
    assert (a_end - a, b_end - b) == cut_as_google(first, second, limit)
    assert 0 <= a <= a_end <= first <= b <= b_end <= first + second


def test_tokens_are_lost_from_front_and_back_at_even_odds() -> None:
    fronts = [int(fitted(1000, 10, 110, seed)[0, 0]) for seed in range(400)]
    assert abs(np.mean(fronts) - 450) < 4 * np.sqrt(900 / 4 / 400)
    assert np.var(fronts) == pytest.approx(900 / 4, rel=0.35)


@given(documents, st.integers(1, 12))
def test_capping_cuts_long_sentences_and_loses_no_token(lengths: list[list[int]], most: int) -> None:
    encoded = numbered(lengths)
    cut = capped(encoded, most)
    assert cut.ids_N is encoded.ids_N
    assert cut.token_at.tolist() == encoded.token_at.tolist()
    assert set(encoded.sentence_at.tolist()) <= set(cut.sentence_at.tolist())
    pieces = np.diff(cut.sentence_at)
    assert pieces.max(initial=0) <= most
    assert len(pieces) == sum(-(-length // most) for document in lengths for length in document)


def test_targets_are_short_as_often_as_asked_and_uniform_then() -> None:
    state = np.array([start(3)])
    targets = np.array([draw_target(state, 100, 0.1) for _ in range(20_000)])
    short = targets[targets < 100]
    assert abs(len(short) / len(targets) - 0.1 * 98 / 99) < 4 * np.sqrt(0.09 / len(targets))
    assert short.min() == 2
    assert abs(short.mean() - 50.5) < 4 * np.sqrt(98**2 / 12 / len(short))


def test_a_document_reaches_for_whole_sentences_up_to_its_end() -> None:
    sentence_at = np.array([0, 5, 9, 20, 21])
    assert [reach(sentence_at, 0, 3, tokens) for tokens in (-3, 1, 5, 6, 9, 10, 99)] == [1, 1, 1, 2, 2, 3, 3]
    assert reach(sentence_at, 2, 3, 1) == 3


def drawn(*examples: tuple[Next, list[tuple[int, int, int]]]) -> Drawn:
    stretch_P3 = [stretch for _, stretches in examples for stretch in stretches]
    at = np.cumsum([0, *(len(stretches) for _, stretches in examples)])
    labels = np.array([label for label, _ in examples], np.int64)
    return Drawn(np.array(stretch_P3, np.int64).reshape(-1, 3), at, labels)


PAIR_AND_LONE = drawn((Next.NEXT, [(0, 2, 0), (2, 5, 0)]), (Next.NONE, [(0, 2, 0)]))


def test_every_stretch_ends_in_a_separator_and_each_document_is_named_once() -> None:
    examples = lay_out(
        numbered([[2, 3], [4], [1]]),
        drawn((Next.RANDOM, [(0, 2, 0), (5, 7, 1)]), (Next.NONE, [(3, 5, 0), (5, 9, 1), (9, 10, 2)])),
        cls_id=CLS,
        sep_id=SEP,
    )
    assert [stretches(examples, at) for at in range(2)] == [[[0, 1], [5, 6]], [[3, 4], [5, 6, 7, 8], [9]]]
    assert examples.second_at.tolist() == [4, 11]
    assert examples.documents.tolist() == [0, 1, 0, 1, 2]
    assert examples.documents_at.tolist() == [0, 2, 5]


@pytest.mark.parametrize("vocab_size", [1000, 100_000])
def test_the_table_has_the_schema_of_examples(vocab_size: int) -> None:
    examples = lay_out(numbered([[2, 3]]), PAIR_AND_LONE, cls_id=CLS, sep_id=SEP)
    table = to_table(examples, vocab_size, shard=7, row_D=np.array([70]))
    table.validate(full=True)
    assert table.schema == examples_schema(vocab_size, static_masks=False)
    assert table.to_pylist() == [
        {"ids": [1, 10, 11, 2, 12, 13, 14, 2], "second_at": 4, "label": 0, "shard": 7, "rows": [70]},
        {"ids": [1, 10, 11, 2], "second_at": 4, "label": 2, "shard": 7, "rows": [70]},
    ]


def test_the_table_of_static_masks_holds_the_masked_ids() -> None:
    examples = lay_out(numbered([[3]]), drawn((Next.NONE, [(0, 3, 0)])), cls_id=CLS, sep_id=SEP)
    masks = StaticMasks(np.array([1, 10, 4, 12, 2]), np.array([2]), np.array([11]), np.array([0, 1]))
    table = to_table(examples, 1000, masks, shard=0, row_D=np.array([0]))
    assert table.schema == examples_schema(1000, static_masks=True)
    row = table.to_pylist()[0]
    assert (row["ids"], row["masked_at"], row["masked_ids"]) == ([1, 10, 4, 12, 2], [2], [11])


def test_no_documents_make_no_rows() -> None:
    examples = lay_out(numbered([]), drawn(), cls_id=CLS, sep_id=SEP)
    assert len(examples) == 0
    assert to_table(examples, 1000, shard=0, row_D=np.zeros(0, np.int64)).num_rows == 0
