"""Rows of many Arrow files to files of equal size, each in a random order.

Every piece is cut into as many stretches as there are shards, and shard k takes the k-th stretch of each. Files are mapped
and read a batch of rows at a time, so memory holds one batch, however large the shard.

Letters: K shards, R rows, C chunks (record batches).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.core.arrow import read_batches
from pipeline.objectives.columns import Ints, borders, copy_lists, list_column, lists_of, plain_column

ROWS_PER_BATCH = 16_384
"""Rows that are gathered and written at once: 4 MB at length 128."""


@dataclass(frozen=True)
class Stretch:
    """Rows of an Arrow file."""

    path: Path
    begin: int
    end: int


@dataclass(frozen=True)
class Picked:
    """Rows of one chunk and where they are to stand."""

    chunk: int
    row_R: Ints
    place_R: Ints


def lengths_of(path: Path, column: str) -> NDArray[np.int32]:
    """Give the length of each list of a column."""
    parts = [np.diff(lists_of(batch.column(column))[1]) for batch in read_batches(path)]
    return np.concatenate([np.zeros(0, np.int32), *parts])


def cut_evenly(pieces: Sequence[NDArray[Any]], shards: int) -> list[Ints]:
    """Cut pieces, given as the lengths of their rows, into stretches whose sums over all pieces differ by a row or two.

    Returns for each piece the K + 1 borders of its stretches. What one piece gives a shard too much, the next gives less.
    """
    total, given = 0, np.zeros(shards + 1, np.int64)
    cuts = []
    for length_R in pieces:
        upto = borders(length_R)
        total += int(upto[-1])
        wanted = total * np.arange(shards + 1) // shards - given
        cut = np.maximum.accumulate(np.searchsorted(upto, wanted))
        given += upto[cut]
        cuts.append(cut)
    return cuts


def shuffled(stretches: Sequence[Stretch], rng: Generator) -> Iterator[pa.RecordBatch]:
    """Yield all rows of some stretches in a random order, a batch at a time."""
    chunks = [chunk for stretch in stretches for chunk in _chunks(stretch)]
    first_C = borders(np.array([len(chunk) for chunk in chunks], np.int64))
    order = rng.permutation(first_C[-1])
    for begin in range(0, len(order), ROWS_PER_BATCH):
        picked = _picked(order[begin : begin + ROWS_PER_BATCH], first_C)
        schema = chunks[0].schema
        columns = [_gather([chunk.column(at) for chunk in chunks], picked) for at in range(len(schema))]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _chunks(stretch: Stretch) -> Iterator[pa.RecordBatch]:
    begin = 0
    for batch in read_batches(stretch.path):
        first, last = max(stretch.begin - begin, 0), min(stretch.end - begin, len(batch))
        if first < last:
            yield batch.slice(first, last - first)
        begin += len(batch)


def _picked(number_R: Ints, first_C: Ints) -> list[Picked]:
    """Group rows, numbered over all chunks, by the chunk that they are in."""
    place_R = np.argsort(number_R)
    sorted_R = number_R[place_R]
    at_C = np.searchsorted(sorted_R, first_C)
    return [
        Picked(int(chunk), sorted_R[begin:end] - first_C[chunk], place_R[begin:end])
        for chunk, begin, end in zip(
            np.flatnonzero(np.diff(at_C)), at_C[:-1][np.diff(at_C) > 0], at_C[1:][np.diff(at_C) > 0], strict=True
        )
    ]


def _gather(chunks: Sequence[Any], picked: Sequence[Picked]) -> Any:
    kind = chunks[0].type
    rows = sum(len(part.row_R) for part in picked)
    if not pa.types.is_list(kind):
        values = np.empty(rows, str(kind))
        for part in picked:
            values[part.place_R] = chunks[part.chunk].to_numpy(zero_copy_only=True)[part.row_R]
        return plain_column(values, kind)
    lists = [lists_of(chunks[part.chunk]) for part in picked]
    length_R = np.empty(rows, np.int64)
    for part, (_, at) in zip(picked, lists, strict=True):
        length_R[part.place_R] = at[part.row_R + 1] - at[part.row_R]
    to_at = borders(length_R)
    to_N = np.empty(to_at[-1], str(kind.value_type))
    for part, (from_N, at) in zip(picked, lists, strict=True):
        copy_lists(from_N, at, part.row_R, to_N, to_at, part.place_R)
    return list_column(to_N, to_at, kind)
