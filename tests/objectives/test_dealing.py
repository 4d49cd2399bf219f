from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.arrow import BatchWriter
from pipeline.core.seeds import rng
from pipeline.objectives import dealing
from pipeline.objectives.dealing import Stretch, cut_evenly, lengths_of, shuffled

SCHEMA = pa.schema([pa.field("number", pa.int32()), pa.field("list", pa.list_(pa.uint16()))])

pieces = st.lists(st.lists(st.integers(1, 20), max_size=60), max_size=5)


@given(pieces, st.integers(1, 7))
def test_shards_differ_by_less_than_two_rows_and_every_row_is_given_once(lengths: list[list[int]], shards: int) -> None:
    cuts = cut_evenly([np.array(piece, np.int32) for piece in lengths], shards)
    sums = np.zeros(shards, np.int64)
    for piece, cut in zip(lengths, cuts, strict=True):
        assert (cut[0], cut[-1]) == (0, len(piece))
        assert (np.diff(cut) >= 0).all()
        sums += [sum(piece[begin:end]) for begin, end in pairwise(cut)]
    assert sums.max() - sums.min() < 2 * 20 + 1


def write(path: Path, begin: int, rows: int, batch: int) -> Path:
    with BatchWriter(path, SCHEMA, codec=None, target_bytes=1) as writer:
        table = [{"number": at, "list": [at % 999] * (at % 5)} for at in range(begin, begin + rows)]
        for at in range(0, rows, batch):
            writer.add(pa.RecordBatch.from_pylist(table[at : at + batch], schema=SCHEMA))
    return path


def rows_of(stretches: list[Stretch], seed: int = 0) -> list[dict[str, Any]]:
    return [row for batch in shuffled(stretches, rng(seed)) for row in batch.to_pylist()]


def test_shuffling_gives_the_rows_of_all_stretches_whole_and_once(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(dealing, "ROWS_PER_BATCH", 64)
    paths = [write(tmp_path / "a.arrow", 0, 300, 70), write(tmp_path / "b.arrow", 1000, 90, 90)]
    stretches = [Stretch(paths[0], 33, 281), Stretch(paths[1], 0, 90), Stretch(paths[1], 5, 5)]
    rows = rows_of(stretches)
    numbers = [row["number"] for row in rows]
    assert sorted(numbers) == [*range(33, 281), *range(1000, 1090)]
    assert all(row["list"] == [row["number"] % 999] * (row["number"] % 5) for row in rows)
    assert abs(np.corrcoef(np.arange(len(numbers)), np.argsort(np.argsort(numbers)))[0, 1]) < 0.25
    assert rows == rows_of(stretches)
    assert rows != rows_of(stretches, seed=1)


def test_nothing_to_shuffle_gives_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.arrow", 0, 0, 1)
    assert rows_of([Stretch(path, 0, 0)]) == []


def test_lengths_are_those_of_all_batches(tmp_path: Path) -> None:
    path = write(tmp_path / "a.arrow", 0, 12, 5)
    assert lengths_of(path, "list").tolist() == [at % 5 for at in range(12)]
