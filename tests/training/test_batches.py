"""What a global batch holds depends on the seed and the step alone."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.arrow import write_table
from pipeline.core.errors import DataError
from pipeline.tables import Next, examples_schema
from pipeline.text.vocab import SPECIALS, save, wordpiece
from pipeline.training.batches import NOTHING, Loader, Masks, MicroBatch, Rows, multiple_on, static_masks
from pipeline.training.jobs import job_of
from pipeline.training.order import Masking, Order
from pipeline.training.sampler import Sampler
from tests.training.conftest import LONGEST, SPECIAL, VOCABULARY, write_examples
from tests.training.one_rank import rows_of

CPU = torch.device("cpu")


@given(rows=st.integers(1, 50), batch=st.integers(1, 40), epochs=st.integers(1, 4), seed=st.integers(0, 5))
def test_every_row_comes_exactly_once_an_epoch(rows: int, batch: int, epochs: int, seed: int) -> None:
    sampler = Sampler(rows, batch, seed, "here", epochs=epochs)
    taken = [sampler.take(number) for number in range(-(-rows * epochs // batch))]
    rows_N, epochs_N = (np.concatenate(part) for part in zip(*taken, strict=True))
    assert len(rows_N) == rows * epochs
    for epoch in range(epochs):
        assert sorted(rows_N[epochs_N == epoch]) == list(range(rows))


def test_a_batch_needs_no_batches_before_it() -> None:
    in_order = Sampler(23, 10, 4, 0)
    expected = [in_order.take(number) for number in range(9)][8]
    np.testing.assert_equal(Sampler(23, 10, 4, 0).take(8), expected)


def test_another_seed_phase_or_epoch_gives_another_order() -> None:
    orders = [
        Sampler(50, 50, seed, phase).take(epoch)[0]
        for seed, phase, epoch in ((1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1))
    ]
    assert len({tuple(order) for order in orders}) == 4


def _rows(*paths: str) -> Rows:
    return Rows(paths, nothing=Next.NONE, longest=LONGEST)


def _seen(order: Order, ranks: int, micro_batch: int, step: int) -> dict[int, dict[str, Any]]:
    """Return what the model would see and predict of each row of a step, whoever sees it."""
    stretch = job_of(order).stretches[0]
    seen: dict[int, dict[str, Any]] = {}
    for rank in range(ranks):
        loader = Loader(stretch.rows, stretch.masks, rank, ranks, micro_batch, CPU)
        for batch in loader.load(*stretch.sampler.take(step)):
            assert not seen.keys() & set(batch.rows_B.tolist())
            seen |= {row["row"]: row for row in rows_of(batch)}
    return seen


@pytest.mark.parametrize(("ranks", "micro_batch"), [(1, 3), (2, 4), (3, 1), (4, 16)])
def test_rows_and_masks_do_not_depend_on_ranks_or_micro_batch(ranks: int, micro_batch: int, order: Order) -> None:
    for step in (0, 3, 7):
        assert _seen(order, ranks, micro_batch, step) == _seen(order, 1, 16, step)


def test_masks_differ_from_epoch_to_epoch(order: Order) -> None:
    seen = [_seen(order, 1, 16, step) for step in range(9)]  # 71 rows: two epochs
    again = [(row, a[row], b[row]) for a in seen for b in seen if a is not b for row in a.keys() & b.keys()]
    assert again
    assert sum(first != second for _, first, second in again) > 0.9 * len(again)


def test_segments_begin_where_the_table_says(examples: dict[str, str]) -> None:
    rows = _rows(examples["one"])
    for batch in Loader(rows, None, 0, 1, 8, CPU).all_rows():
        begins_B = batch.segments_BT.argmax(1).numpy()
        np.testing.assert_equal(begins_B, rows.second_at_N[batch.rows_B])


def test_evaluation_sees_every_row_once_whatever_the_ranks(examples: dict[str, str]) -> None:
    rows = _rows(examples["held_out"])
    for ranks in (1, 2, 3):
        seen = [batch.rows_B for rank in range(ranks) for batch in Loader(rows, None, rank, ranks, 4, CPU).all_rows()]
        assert sorted(np.concatenate(seen)) == list(range(len(rows)))


def test_rows_at_equal_distances_stand_for_all(examples: dict[str, str]) -> None:
    whole = _rows(examples["one"])
    some = Rows([examples["one"]], nothing=Next.NONE, longest=LONGEST, most=10)
    at = np.arange(10) * len(whole) // 10
    assert len(some) == 10
    np.testing.assert_equal(some.second_at_N, whole.second_at_N[at])
    np.testing.assert_equal(some.ids.lengths_N, whole.ids.lengths_N[at])
    assert len(Rows([examples["one"]], nothing=Next.NONE, longest=LONGEST, most=len(whole) + 1)) == len(whole)


def test_a_rank_without_rows_steps_along_and_predicts_nothing(examples: dict[str, str], order: Order) -> None:
    stretch = job_of(order).stretches[0]
    parts = [
        list(Loader(stretch.rows, stretch.masks, rank, 3, 4, CPU).load(np.array([5, 6]), np.zeros(2)))
        for rank in range(3)
    ]
    assert [len(part) for part in parts] == [1, 1, 1]
    nothing = dict.fromkeys(("predicted", "labels", "tokens", "squares"), 0)
    assert parts[2][0].counts() == nothing | {"cells": parts[2][0].ids_BT.numel()}
    assert (parts[2][0].label_B == NOTHING).all()


def test_sorting_by_length_leaves_next_to_no_padding(tmp_path: Path) -> None:
    rows = _rows(write_examples(tmp_path / "many.arrow", rows=1000, seed=9))
    batches = list(Loader(rows, None, 0, 1, 32, CPU).all_rows())
    counts = [batch.counts() for batch in batches]
    assert 1 - sum(count["tokens"] for count in counts) / sum(count["cells"] for count in counts) < 0.02


def test_counts_are_those_of_the_tensors(order: Order) -> None:
    stretch = job_of(order).stretches[0]
    for batch in Loader(stretch.rows, stretch.masks, 0, 1, 8, CPU).all_rows():
        length_B = batch.attended_BT.sum(1) if batch.attended_BT is not None else torch.tensor(batch.ids_BT.shape[1:2])
        length_B = length_B.expand(len(batch.ids_BT))
        assert batch.counts() == {
            "predicted": int((batch.labels_M >= 0).sum()),
            "labels": int((batch.label_B != NOTHING).sum()),
            "tokens": int(length_B.sum()),
            "cells": batch.ids_BT.numel(),
            "squares": int((length_B**2).sum()),
        }


@pytest.mark.parametrize("ranks", [1, 2])
def test_packed_rows_are_the_padded_ones_without_padding(ranks: int, order: Order) -> None:
    stretch = job_of(order).stretches[0]
    rows_B, epochs_B = stretch.sampler.take(3)
    for rank in range(ranks):
        padded, packed = (
            Loader(stretch.rows, stretch.masks, rank, ranks, 4, CPU, packed=packed).load(rows_B, epochs_B)
            for packed in (False, True)
        )
        for one, other in zip(padded, packed, strict=True):
            assert other.packed is not None
            assert other.ids_BT.shape == other.segments_BT.shape == (1, other.tokens)
            assert (other.attended_BT, other.counts()["cells"]) == (None, other.tokens)
            assert list(_unpacked(other)) == list(rows_of(one))
            assert other.packed.longest == one.ids_BT.shape[1]
            assert other.packed.starts_B.dtype == torch.int32


def _unpacked(batch: MicroBatch) -> Iterator[dict[str, Any]]:
    assert batch.packed is not None
    starts = batch.packed.starts_B.tolist()
    for at, (begin, end) in enumerate(pairwise(starts)):
        here = (batch.predicted_M >= begin) & (batch.predicted_M < end)
        yield {
            "row": int(batch.rows_B[at]),
            "ids": batch.ids_BT[0, begin:end].tolist(),
            "segments": batch.segments_BT[0, begin:end].tolist(),
            "where": (batch.predicted_M[here] - begin).tolist(),
            "labels": batch.labels_M[here].tolist(),
            "next": int(batch.label_B[at]),
        }


def test_padding_to_a_multiple_is_masked(examples: dict[str, str]) -> None:
    rows = _rows(examples["one"])
    for batch in Loader(rows, None, 0, 1, 8, CPU, multiple=32).all_rows():
        assert batch.ids_BT.shape[1] == 32
        assert batch.attended_BT is not None
        assert batch.attended_BT.sum() == batch.tokens


@pytest.mark.parametrize("max_positions", [LONGEST, LONGEST + 3])
def test_on_gpus_no_row_is_padded_beyond_the_positions_of_the_model(max_positions: int, tmp_path: Path) -> None:
    schema = examples_schema(VOCABULARY, static_masks=False)
    row = {"ids": [9] * max_positions, "second_at": max_positions, "label": 2, "shard": 0, "rows": [0]}
    short = row | {"ids": [9] * 13}
    write_table(tmp_path / "long.arrow", pa.Table.from_pylist([row, short], schema=schema), codec=None)
    rows = Rows([str(tmp_path / "long.arrow")], nothing=Next.NONE, longest=max_positions)
    multiple = multiple_on(torch.device("cuda"), max_positions)
    widths = [batch.ids_BT.shape[1] for batch in Loader(rows, None, 0, 1, 1, CPU, multiple=multiple).all_rows()]
    assert widths == ([LONGEST, 16] if max_positions == LONGEST else [max_positions, 13])


def test_files_and_their_record_batches_are_one_sequence(tmp_path: Path) -> None:
    paths = [write_examples(tmp_path / f"{at}.arrow", rows, at) for at, rows in enumerate((1500, 3))]
    rows, first, second = _rows(*paths), _rows(paths[0]), _rows(paths[1])
    picked = np.array([1502, 0, 1023, 1024, 1499, 1500])
    expected = [*first.ids.take(np.array([0, 1023, 1024, 1499])), *second.ids.take(np.array([2, 0]))]
    for ids, other in zip(rows.ids.take(picked), [expected[4], *expected[:4], expected[5]], strict=True):
        np.testing.assert_equal(ids, other)


def test_static_masks_are_those_of_the_examples(tmp_path: Path) -> None:
    schema = examples_schema(VOCABULARY, static_masks=True)
    common = {"second_at": 4, "label": 0, "shard": 0, "rows": [0]}
    table = [
        {"ids": [2, 4, 9, 3], "masked_at": [1], "masked_ids": [8], **common},
        {"ids": [2, 9, 9, 4, 4, 3], "masked_at": [3, 4], "masked_ids": [10, 11], **common},
    ]
    write_table(tmp_path / "static.arrow", pa.Table.from_pylist(table, schema=schema), codec=None)
    rows = _rows(str(tmp_path / "static.arrow"))
    (batch,) = Loader(rows, static_masks(rows), 0, 1, 2, CPU).all_rows()
    assert batch.ids_BT.tolist() == [[2, 9, 9, 4, 4, 3], [2, 4, 9, 3, 0, 0]]
    assert batch.predicted_M.tolist() == [3, 4, 7]
    assert batch.labels_M.tolist() == [10, 11, 8]


def test_static_masks_are_found_in_the_last_of_many_rows(tmp_path: Path) -> None:
    """Their columns are stored in 16 bits: the last flat position here is 69,999."""
    rows, length = 140, 500
    row = {"ids": [9] * length, "masked_at": [length - 1], "masked_ids": [8], "second_at": length, "label": 2}
    schema = examples_schema(VOCABULARY, static_masks=True)
    table = pa.Table.from_pylist([row | {"shard": 0, "rows": [0]}] * rows, schema=schema)
    write_table(tmp_path / "static.arrow", table, codec=None)
    many = Rows([str(tmp_path / "static.arrow")], nothing=Next.NONE, longest=length)
    (batch,) = Loader(many, static_masks(many), 0, 1, rows, CPU).all_rows()
    assert batch.predicted_M.tolist() == [at * length + length - 1 for at in range(rows)]


def test_whole_words_are_hidden_with_the_tokenizer_s_pieces(order: Order, tmp_path: Path) -> None:
    pieces = [*SPECIALS, *(f"##{at}" if at % 2 == 0 else f"{at}" for at in range(len(SPECIALS), VOCABULARY))]
    save(wordpiece(pieces, lowercase=True), tmp_path)
    masking = Masking("dynamic", "word", 0.3, mask_id=4, special_ids=SPECIAL, tokenizer=str(tmp_path))
    for row in _seen(replace(order, masking=masking), 1, 16, 0).values():
        for at, label in zip(row["where"], row["labels"], strict=True):  # rows alternate: a word's beginning, its end
            partner = at - 1 if label % 2 == 0 else at + 1
            assert partner in row["where"] or row["ids"][partner] in SPECIAL


def test_no_rows_and_long_rows_are_refused(tmp_path: Path, examples: dict[str, str]) -> None:
    empty = write_examples(tmp_path / "empty.arrow", 0, 0)
    with pytest.raises(DataError, match=r"empty\.arrow: no rows"):
        _rows(empty)
    with pytest.raises(DataError, match="a row has 24 tokens, expected 20 at most"):
        Rows([examples["one"]], nothing=Next.NONE, longest=20)


def test_masks_type_is_what_loaders_take(order: Order) -> None:
    masks: Masks | None = job_of(order).stretches[0].masks
    assert callable(masks)
