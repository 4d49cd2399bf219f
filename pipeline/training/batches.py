"""The rows of a global batch as tensors: padded to the longest, or laid one behind another; masked by row and epoch.

Letters: N rows of all files, B rows of a batch, T tokens, M predicted positions, C chunks of a column.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.arrow import read_table
from pipeline.core.errors import DataError
from pipeline.model.attention import Packed
from pipeline.training.dealing import deal
from pipeline.training.padding import address_of, pad

Ints = NDArray[np.int64]

NOTHING = -100
"""The label of a row with nothing to predict."""
GPU_MULTIPLE = 8
"""Tokens; matrix units want lengths that are multiples of eight."""


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
    """What one rank runs through the model at a time; see `Packed` for what is laid out otherwise where that is set."""

    ids_BT: Tensor
    segments_BT: Tensor
    attended_BT: Tensor | None  # False on padding; None where there is none
    predicted_M: Tensor  # flat positions, row * T + column
    labels_M: Tensor
    next_B: Tensor  # the label of the row; -100: nothing to predict
    rows_B: Ints
    tokens: int  # without padding
    pairs: int = 0  # rows with a label
    squares: int = 0  # lengths squared, added up
    packed: Packed | None = None

    def counts(self) -> dict[str, int]:
        """Count what losses are divided by and what throughput is told in, without asking a GPU."""
        return {
            "predicted": len(self.predicted_M),
            "pairs": self.pairs,
            "tokens": self.tokens,
            "cells": self.ids_BT.numel(),
            "squares": self.squares,
        }


@dataclass(frozen=True)
class _Arrays:
    """A micro-batch before it becomes tensors."""

    ids_BT: Ints
    segments_BT: Ints
    real_BT: NDArray[np.bool_]
    at_M: Ints
    labels_M: Ints


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
    packed: bool = False  # rows one behind another, without padding

    def load(self, rows_B: Ints, epochs_B: Ints) -> Iterator[MicroBatch]:
        """Yield the micro-batches of this rank, longest first."""
        length_B = self.rows.ids.lengths_N[rows_B]
        multiple = 1 if self.packed else self.multiple
        parts = deal(length_B, ranks=self.ranks, micro_batch=self.micro_batch, multiple=multiple)[self.rank]
        for part in parts:
            yield self._make(rows_B[part], epochs_B[part]) if len(part) else self._empty(rows_B)

    def all_rows(self) -> Iterator[MicroBatch]:
        """Yield this rank's share of all rows, for evaluation."""
        rows_N = np.arange(len(self.rows))
        return self.load(rows_N, np.zeros_like(rows_N))

    def _make(self, rows_B: Ints, epochs_B: Ints) -> MicroBatch:
        padded = self._pad(rows_B, epochs_B)
        arrays = self._mask(padded)
        packed = self._starts(padded) if self.packed else None
        if packed is not None:
            arrays = _pack(arrays)
        label_B, lengths_B = self.rows.label_N[rows_B], padded.lengths_B
        return MicroBatch(
            self._send(arrays.ids_BT),
            self._send(arrays.segments_BT),
            None if arrays.real_BT.all() else self._send(arrays.real_BT),
            self._send(arrays.at_M),
            self._send(arrays.labels_M),
            self._send(label_B),
            rows_B,
            tokens=int(lengths_B.sum()),
            pairs=int((label_B != NOTHING).sum()),
            squares=int((lengths_B**2).sum()),
            packed=packed,
        )

    def _mask(self, padded: Padded) -> _Arrays:
        nowhere = np.zeros(0, np.int64)
        ids_BT, at_M, labels_M = self.masks(padded) if self.masks else (padded.ids_BT, nowhere, nowhere)
        column_T = np.arange(ids_BT.shape[1])
        real_BT = column_T < padded.lengths_B[:, None]
        second_BT = (column_T >= self.rows.second_at_N[padded.rows_B][:, None]) & real_BT
        return _Arrays(ids_BT, second_BT.astype(np.int64), real_BT, at_M, labels_M)

    def _starts(self, padded: Padded) -> Packed:
        starts_B = np.concatenate([[0], np.cumsum(padded.lengths_B)]).astype(np.int32)
        return Packed(self._send(starts_B), int(padded.lengths_B.max()))

    def _empty(self, rows_B: Ints) -> MicroBatch:
        """Stand in for a micro-batch where rows ran out: a rank must step along, but predicts nothing."""
        some = self._make(rows_B[:1], np.zeros(1, np.int64))
        nowhere, no_label = some.labels_M[:0], torch.full_like(some.next_B, NOTHING)
        return replace(
            some,
            predicted_M=nowhere,
            labels_M=nowhere,
            next_B=no_label,
            rows_B=rows_B[:0],
            tokens=0,
            pairs=0,
            squares=0,
        )

    def _pad(self, rows_B: Ints, epochs_B: Ints) -> Padded:
        lengths_B = self.rows.ids.lengths_N[rows_B].astype(np.int64)
        width = -(-int(lengths_B.max()) // self.multiple) * self.multiple
        return Padded(self.rows.ids.pad(rows_B, width), lengths_B, rows_B, epochs_B)

    def _send(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type != "cuda":
            return tensor
        with torch.cuda.device(self.device):  # this may be a thread, to which all is device 0
            return tensor.pin_memory().to(self.device, non_blocking=True)


def multiple_on(device: torch.device, max_positions: int) -> int:
    """Say to a multiple of how many tokens rows are padded: never beyond the positions that there are."""
    return GPU_MULTIPLE if device.type == "cuda" and max_positions % GPU_MULTIPLE == 0 else 1


def _pack(arrays: _Arrays) -> _Arrays:
    """Lay rows one behind another: shape [1, N]."""
    real_N = arrays.real_BT.reshape(-1)
    place_N = np.cumsum(real_N) - 1  # where a padded position comes to lie
    return _Arrays(
        arrays.ids_BT.reshape(-1)[real_N][None],
        arrays.segments_BT.reshape(-1)[real_N][None],
        real_N[real_N][None],
        place_N[arrays.at_M],
        arrays.labels_M,
    )


def static_masks(rows: Rows) -> Masks:
    """Use the masks that the examples carry."""
    at, ids = rows.lists("masked_at"), rows.lists("masked_ids")

    def read(padded: Padded) -> tuple[Ints, Ints, Ints]:
        width = padded.ids_BT.shape[1]
        # Columns are stored in 16 bits, too few for a flat position.
        at_M = [columns.astype(np.int64) + row * width for row, columns in enumerate(at.take(padded.rows_B))]
        labels_M = np.concatenate(ids.take(padded.rows_B)).astype(np.int64)
        return padded.ids_BT, np.concatenate(at_M), labels_M

    return read
