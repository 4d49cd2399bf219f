"""Which examples were made of a document: rows of EXAMPLES know theirs.

Letters: D documents, R rows of a batch, N documents of all rows of a batch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arrow import read_batches

Ints = NDArray[np.int64]

SHARD_BITS = 32
"""Rows of a file are counted in so many bits."""


def made_of(paths: Sequence[Path], documents: Sequence[tuple[int, int]]) -> list[Ints]:
    """Give the rows with text of each document, counted over all files; a document is its shard and row.

    Files are mapped and only two columns of them are looked at, a batch at a time.
    """
    key_D = np.array([(shard << SHARD_BITS) | row for shard, row in documents], np.int64)
    found: list[list[Ints]] = [[np.zeros(0, np.int64)] for _ in documents]
    first = 0
    for path in paths:
        for batch in read_batches(path):
            key_N, row_N = _documents_of(batch)
            for at in np.flatnonzero(np.isin(key_D, key_N)).tolist():
                found[at].append(first + row_N[key_N == key_D[at]])
            first += len(batch)
    return [np.concatenate(parts) for parts in found]


def _documents_of(batch: Any) -> tuple[Ints, Ints]:
    """Give the key of each document of a batch, and the row of the example that it is in."""
    shard_R = batch["shard"].to_numpy(zero_copy_only=True).astype(np.int64)
    lists = batch["rows"]
    row_R1 = lists.offsets.to_numpy(zero_copy_only=True)
    document_N = lists.values.to_numpy(zero_copy_only=True)[row_R1[0] : row_R1[-1]]
    row_N = np.repeat(np.arange(len(batch)), np.diff(row_R1))
    return (shard_R[row_N] << SHARD_BITS) | document_N, row_N
