"""Batches as a pure function of (seed, phase, step): not of ranks, micro-batches or restarts.

Position p = step * batch + j of a phase is row `permutation of epoch p // N` [p % N]. Inside a global batch rows are
sorted by length and dealt in runs, so that a micro-batch needs next to no padding.
Letters: N rows of all files, B rows of a batch, T tokens, M predicted positions, C chunks of a column.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.arrow import read_table
from pipeline.core.errors import DataError
from pipeline.training.padding import address_of, pad

Ints = NDArray[np.int64]

NOTHING = -100
"""The label of a row with nothing to predict."""


class Lists:
    """A list column of several tables as one sequence of arrays, memory-mapped."""

    def __init__(self, column: Any) -> None:
        chunks: list[Any] = [chunk for chunk in column.chunks if len(chunk)]
        self._values: list[NDArray[Any]] = [chunk.values.to_numpy(zero_copy_only=True) for chunk in chunks]
        self._offsets: list[NDArray[Any]] = [chunk.offsets.to_numpy(zero_copy_only=True) for chunk in chunks]
        self._value_address_C = np.array([address_of(values) for values in self._values], np.int64)
        self._offset_address_C = np.array([address_of(offsets) for offsets in self._offsets], np.int64)
        self._first_C = np.cumsum([0, *(len(chunk) for chunk in chunks)])
        self.lengths_N = np.concatenate([np.zeros(0, np.int32), *(np.diff(offsets) for offsets in self._offsets)])

    def take(self, rows_B: Ints) -> list[NDArray[Any]]:
        """Return one array a row, without copying."""
        chunk_B, within_B = self._locate(rows_B)
        return [self._row(chunk, row) for chunk, row in zip(chunk_B.tolist(), within_B.tolist(), strict=True)]

    def pad(self, rows_B: Ints, width: int) -> Ints:
        """Return the rows as one array, zeros behind each: shape [B, width]."""
        padded_BT = np.zeros((len(rows_B), width), np.int64)
        addresses = (self._value_address_C, self._offset_address_C)
        pad(*addresses, *self._locate(rows_B), self._values[0][:0], padded_BT)
        return padded_BT

    def _locate(self, rows_B: Ints) -> tuple[Ints, Ints]:
        chunk_B = np.searchsorted(self._first_C, rows_B, side="right") - 1
        return chunk_B, rows_B - self._first_C[chunk_B]

    def _row(self, chunk: int, row: int) -> NDArray[Any]:
        offsets = self._offsets[chunk]
        return self._values[chunk][offsets[row] : offsets[row + 1]]


class Rows:
    """Training rows of several Arrow files (ids, second_at, label) as one sequence."""

    def __init__(self, paths: Sequence[str], *, nothing: int, longest: int) -> None:
        """Map the files; `nothing` is the label of rows with nothing to classify.

        Raises: DataError if there are no rows, or one is longer than `longest`.
        """
        self._table = pa.concat_tables([read_table(Path(path)) for path in paths])
        if not len(self._table):
            raise DataError(f"{', '.join(paths)}: no rows")
        self.ids = Lists(self._table["ids"])
        if (length := int(self.ids.lengths_N.max())) > longest:
            raise DataError(f"{', '.join(paths)}: a row has {length} tokens, expected {longest} at most")
        self.second_at_N = self._table["second_at"].to_numpy().astype(np.int32)
        self.label_N = self._table["label"].to_numpy().astype(np.int64)
        self.label_N[self.label_N == nothing] = NOTHING

    def __len__(self) -> int:
        return len(self._table)

    def lists(self, name: str) -> Lists:
        """Map another list column."""
        return Lists(self._table[name])


@dataclass(frozen=True)
class Padded:
    """Rows padded to the longest of them, before masking."""

    ids_BT: Ints
    lengths_B: Ints
    rows_B: Ints
    epochs_B: Ints


Masks = Callable[[Padded], tuple[Ints, Ints, Ints]]
"""Hides tokens: returns ids_BT, flat positions at_M and labels_M."""


@dataclass(frozen=True)
class MicroBatch:
    """What one rank runs through the model at a time."""

    ids_BT: Tensor
    segments_BT: Tensor
    attended_BT: Tensor | None  # False on padding; None where there is none
    predicted_M: Tensor  # flat positions, row * T + column
    labels_M: Tensor
    next_B: Tensor  # the label of the row; -100: nothing to predict
    rows_B: Ints
    tokens: int  # without padding

    def counts(self) -> dict[str, int]:
        """Count what losses are divided by and what throughput is told in."""
        pairs = int((self.next_B != NOTHING).sum())
        return {
            "predicted": len(self.predicted_M),
            "pairs": pairs,
            "tokens": self.tokens,
            "cells": self.ids_BT.numel(),
        }


def deal(length_B: NDArray[Any], *, ranks: int, micro_batch: int) -> list[list[Ints]]:
    """Split a global batch into [rank][micro-batch] -> positions in it, nearly equal in number and alike in length.

    The longest come first, so that memory is at its peak at once. All ranks have the same number of micro-batches;
    their sizes differ by one at most, and where rows run out some are empty.
    """
    order_B = np.argsort(-length_B.astype(np.int64), kind="stable")
    rounds = max(1, -(-len(length_B) // (ranks * micro_batch)))
    runs = np.array_split(order_B, rounds * ranks)
    return [runs[rank::ranks] for rank in range(ranks)]


@dataclass(frozen=True)
class Loader:
    """Turns the rows of a global batch into this rank's micro-batches."""

    rows: Rows
    masks: Masks | None
    rank: int
    ranks: int
    micro_batch: int
    device: torch.device
    multiple: int = 1  # pad to a multiple of this many tokens

    def load(self, rows_B: Ints, epochs_B: Ints) -> Iterator[MicroBatch]:
        """Yield the micro-batches of this rank, longest first."""
        length_B = self.rows.ids.lengths_N[rows_B]
        for part in deal(length_B, ranks=self.ranks, micro_batch=self.micro_batch)[self.rank]:
            yield self._make(rows_B[part], epochs_B[part]) if len(part) else self._empty(rows_B)

    def all_rows(self) -> Iterator[MicroBatch]:
        """Yield this rank's share of all rows, for evaluation."""
        rows_N = np.arange(len(self.rows))
        return self.load(rows_N, np.zeros_like(rows_N))

    def _make(self, rows_B: Ints, epochs_B: Ints) -> MicroBatch:
        padded = self._pad(rows_B, epochs_B)
        nowhere = np.zeros(0, np.int64)
        ids_BT, at_M, labels_M = self.masks(padded) if self.masks else (padded.ids_BT, nowhere, nowhere)
        column_T = np.arange(ids_BT.shape[1])
        real_BT = column_T < padded.lengths_B[:, None]
        second_BT = (column_T >= self.rows.second_at_N[rows_B][:, None]) & real_BT
        return MicroBatch(
            self._send(ids_BT),
            self._send(second_BT.astype(np.int64)),
            None if real_BT.all() else self._send(real_BT),
            self._send(at_M),
            self._send(labels_M),
            self._send(self.rows.label_N[rows_B]),
            rows_B,
            int(padded.lengths_B.sum()),
        )

    def _empty(self, rows_B: Ints) -> MicroBatch:
        """Stand in for a micro-batch where rows ran out: a rank must step along, but predicts nothing."""
        nothing = self._make(rows_B[:1], np.zeros(1, np.int64))
        nowhere = nothing.labels_M[:0]
        no_label = torch.full_like(nothing.next_B, NOTHING)
        return MicroBatch(
            nothing.ids_BT, nothing.segments_BT, nothing.attended_BT, nowhere, nowhere, no_label, rows_B[:0], 0
        )

    def _pad(self, rows_B: Ints, epochs_B: Ints) -> Padded:
        lengths_B = self.rows.ids.lengths_N[rows_B].astype(np.int64)
        width = -(-int(lengths_B.max()) // self.multiple) * self.multiple
        return Padded(self.rows.ids.pad(rows_B, width), lengths_B, rows_B, epochs_B)

    def _send(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)


def static_masks(rows: Rows) -> Masks:
    """Use the masks that the examples carry."""
    at, ids = rows.lists("masked_at"), rows.lists("masked_ids")

    def read(padded: Padded) -> tuple[Ints, Ints, Ints]:
        width = padded.ids_BT.shape[1]
        at_M = [columns + row * width for row, columns in enumerate(at.take(padded.rows_B))]
        labels_M = np.concatenate(ids.take(padded.rows_B)).astype(np.int64)
        return padded.ids_BT, np.concatenate(at_M).astype(np.int64), labels_M

    return read
