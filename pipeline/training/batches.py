"""The rows of a global batch as tensors: padded to the longest, or laid one behind another; masked by row and epoch.

A unit is what is dealt to ranks and micro-batches: a row, or the rows of a question with choices.
Letters: N rows of all files, B rows of a batch, U units of a batch, R rows of a unit, T tokens, M predicted positions,
C chunks of a column.
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
from pipeline.training.dealing import deal, deal_packed
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

    def values(self) -> NDArray[Any]:
        """Return the values of all rows, one behind another."""
        return np.concatenate([np.zeros(0, np.int64), *self._values])

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
    """Training rows of several Arrow files (ids, second_at and columns of labels) as one sequence."""

    def __init__(
        self,
        paths: Sequence[str],
        *,
        nothing: int,
        longest: int,
        columns: Sequence[str] = ("label",),
        per_unit: int = 1,
        most: int | None = None,
    ) -> None:
        """Map the files; `nothing` is the label of rows with nothing to predict, or NaN where labels are fractions.

        With `most`, so many rows at equal distances stand for all.

        Raises: DataError if there are no rows, one is longer than `longest`, or the last unit is not whole.
        """
        self._table = pa.concat_tables([read_table(Path(path)) for path in paths])
        if most is not None and most < len(self._table):
            self._table = self._table.take(np.arange(most) * len(self._table) // most)
        if not len(self._table):
            raise DataError(f"{', '.join(paths)}: no rows")
        self.ids = Lists(self._table["ids"])
        if (length := int(self.ids.lengths_N.max())) > longest:
            raise DataError(f"{', '.join(paths)}: a row has {length} tokens, expected {longest} at most")
        self.second_at_N = self._table["second_at"].to_numpy().astype(np.int32)
        self.label_N = _labels(self._table, columns, nothing)
        if len(self._table) % per_unit:
            raise DataError(f"{', '.join(paths)}: has {len(self._table)} rows, expected a multiple of {per_unit}")
        self.per_unit = per_unit

    def __len__(self) -> int:
        return len(self._table)

    @property
    def units(self) -> int:
        """Count what is dealt."""
        return len(self) // self.per_unit

    def rows_of(self, units_U: Ints) -> Ints:
        """List the rows of some units, one behind another."""
        if self.per_unit == 1:
            return units_U
        rows_B: Ints = (units_U[:, None] * self.per_unit + np.arange(self.per_unit)).reshape(-1)
        return rows_B

    def labelled(self, rows_B: Ints) -> int:
        """Count the units among whole units' rows that have a label."""
        label_U = self.label_N[rows_B[:: self.per_unit]]
        first_U = label_U if label_U.ndim == 1 else label_U[:, 0]
        return int((~np.isnan(first_U) & (first_U != NOTHING)).sum())

    def lists(self, name: str) -> Lists:
        """Map another list column."""
        return Lists(self._table[name])


def _labels(table: pa.Table, columns: Sequence[str], nothing: int) -> NDArray[Any]:
    """Read what is to be predicted of rows: whole numbers or fractions, one or several of a row, or nothing."""
    if not columns:
        return np.full(len(table), NOTHING, np.int64)
    parts = [table[name].to_numpy() for name in columns]
    label_N = parts[0] if len(parts) == 1 else np.stack(parts, axis=-1)
    if np.issubdtype(label_N.dtype, np.floating):
        return label_N.astype(np.float32)
    label_N = label_N.astype(np.int64)
    label_N[label_N == nothing] = NOTHING
    return label_N


@dataclass(frozen=True)
class Padded:
    """Rows padded to the longest of them, before masking."""

    ids_BT: Ints
    lengths_B: Ints
    rows_B: Ints
    epochs_B: Ints


Masks = Callable[[Padded], tuple[Ints, Ints, Ints]]
"""Hides tokens, or finds those of which something is predicted: returns ids_BT, flat positions at_M and labels_M."""


@dataclass(frozen=True)
class MicroBatch:
    """What one rank runs through the model at a time; see `Packed` for what is laid out otherwise where that is set."""

    ids_BT: Tensor
    segments_BT: Tensor
    attended_BT: Tensor | None  # False on padding; None where there is none
    predicted_M: Tensor  # flat positions, row * T + column
    labels_M: Tensor
    label_B: Tensor  # of the row; -100, or NaN of a fraction: nothing to predict
    rows_B: Ints
    tokens: int  # without padding
    labels: int = 0  # units with a label
    squares: int = 0  # lengths squared, added up
    packed: Packed | None = None

    def counts(self) -> dict[str, int]:
        """Count what losses are divided by and what throughput is told in, without asking a GPU."""
        return {
            "predicted": len(self.predicted_M),
            "labels": self.labels,
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
    """Turns the units of a global batch into this rank's micro-batches."""

    rows: Rows
    masks: Masks | None
    rank: int
    ranks: int
    micro_batch: int
    device: torch.device
    multiple: int = 1  # pad to a multiple of this many tokens
    packed: bool = False  # rows one behind another, without padding

    def load(self, units_U: Ints, epochs_U: Ints) -> Iterator[MicroBatch]:
        """Yield the micro-batches of this rank, longest first."""
        for part in self._deal(units_U)[self.rank]:
            if len(part):
                yield self._make(self.rows.rows_of(units_U[part]), epochs_U[part].repeat(self.rows.per_unit))
            else:
                yield self._empty(units_U)

    def _deal(self, units_U: Ints) -> list[list[Ints]]:
        lengths_N, per_unit = self.rows.ids.lengths_N, self.rows.per_unit
        lengths_UR = lengths_N[self.rows.rows_of(units_U)].reshape(-1, per_unit)
        if self.packed and self.device.type == "cpu":
            return deal_packed(lengths_UR.sum(-1), ranks=self.ranks, tokens=self.micro_batch * int(lengths_N.max()))
        multiple, most = 1 if self.packed else self.multiple, max(1, self.micro_batch // per_unit)
        return deal(lengths_UR.max(-1), ranks=self.ranks, micro_batch=most, multiple=multiple)

    def all_rows(self) -> Iterator[MicroBatch]:
        """Yield this rank's share of all rows, for evaluation."""
        units_U = np.arange(self.rows.units)
        return self.load(units_U, np.zeros_like(units_U))

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
            labels=self.rows.labelled(rows_B),
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

    def _empty(self, units_U: Ints) -> MicroBatch:
        """Stand in for a micro-batch where rows ran out: a rank must step along, but predicts nothing."""
        rows_B = self.rows.rows_of(units_U[:1])
        some = self._make(rows_B, np.zeros_like(rows_B))
        nothing = float("nan") if some.label_B.is_floating_point() else NOTHING
        nowhere, no_label = some.predicted_M[:0], torch.full_like(some.label_B, nothing)
        return replace(
            some,
            predicted_M=nowhere,
            labels_M=nowhere,
            label_B=no_label,
            rows_B=rows_B[:0],
            tokens=0,
            labels=0,
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
