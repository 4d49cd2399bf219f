"""Rows of fine-tuning tasks with what is predicted of them, by kind of task.

Letters: B rows, T tokens, M predicted positions.
"""

import numpy as np

from pipeline.core.errors import DataError
from pipeline.training.batches import NOTHING, Ints, Masks, Padded, Rows
from pipeline.training.order import Tuning

UNKNOWN = -1
COLUMNS = {"span": ("start", "end"), "tag": ()}
"""Columns of a row's labels, where they are others than `label`."""


def labelled_rows(tuning: Tuning, path: str, longest: int) -> tuple[Rows, Masks | None]:
    """Open a table to learn from, and say at which positions what is predicted.

    Raises: DataError if there are no labels, or some that the order does not have.
    """
    rows = open_rows(tuning, path, longest)
    if tuning.kind == "tag":
        tags = rows.lists("labels").values()
        _check_labels(path, tags[tags != UNKNOWN], len(tuning.labels))
        return rows, first_pieces(rows)
    if not rows.labelled(np.arange(len(rows))):
        raise DataError(f"{path}: no row has a label")
    if tuning.kind in ("classify", "choose"):
        classes = len(tuning.labels) if tuning.kind == "classify" else tuning.choices
        _check_labels(path, rows.label_N[rows.label_N != NOTHING], classes)
    if tuning.kind == "span":
        _check_spans(path, rows)
    return rows, whole_rows if tuning.kind == "span" else None


def open_rows(tuning: Tuning, path: str, longest: int) -> Rows:
    """Open a table, labelled or not."""
    columns = COLUMNS.get(tuning.kind, ("label",))
    per_unit = tuning.choices if tuning.kind == "choose" else 1
    return Rows([path], nothing=UNKNOWN, longest=longest, columns=columns, per_unit=per_unit)


def whole_rows(padded: Padded) -> tuple[Ints, Ints, Ints]:
    """Look at every token; labels are the row's."""
    return padded.ids_BT, np.flatnonzero(_real(padded)), np.zeros(0, np.int64)


def first_pieces(rows: Rows) -> Masks:
    """Look at the tokens that have labels: the first piece of each word."""
    labels = rows.lists("labels")

    def find(padded: Padded) -> tuple[Ints, Ints, Ints]:
        label_BT = labels.pad(padded.rows_B, padded.ids_BT.shape[1])
        at_M = np.flatnonzero((label_BT != UNKNOWN) & _real(padded))
        return padded.ids_BT, at_M, label_BT.reshape(-1)[at_M]

    return find


def _real(padded: Padded) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    real_BT: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    real_BT = np.arange(padded.ids_BT.shape[1]) < padded.lengths_B[:, None]
    return real_BT


def _check_labels(path: str, known: Ints, classes: int) -> None:
    if not len(known):
        raise DataError(f"{path}: no row has a label")
    if known.min() < 0 or known.max() >= classes:
        odd = known.min() if known.min() < 0 else known.max()
        raise DataError(f"{path}: label {odd}, expected 0 to {classes - 1} as order.tuning has it")


def _check_spans(path: str, rows: Rows) -> None:
    start_N, end_N = rows.label_N.T
    odd = np.flatnonzero((start_N < 0) | (end_N < start_N) | (end_N >= rows.ids.lengths_N))
    if len(odd):
        raise DataError(f"{path}: row {odd[0]} has its answer at {start_N[odd[0]]} to {end_N[odd[0]]}, outside of it")
