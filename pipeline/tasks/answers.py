"""What the answers of a task's splits are together: every one that is asked for is there, and training has seen it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.tasks.task import Row, Task


def find_labels(task: Task, files: Mapping[str, Path], rows: Mapping[str, Sequence[Row]]) -> tuple[str, ...]:
    """Name the labels of a task: its own, or those found in its training file, sorted.

    A split without a file holds rows that were held back from those of the training file.

    Raises: DataError if a split is empty, if train or dev has a row without an answer, or if a label is in no training row.
    """
    for split, some in rows.items():
        if not some:
            raise DataError(_empty(split, files))
        if not split.startswith("test"):
            _refuse_unanswered(task, files.get(split, files["train"]), split, some)
    if task.labels or task.kind not in ("classify", "tag"):
        return task.labels
    own = [row for split, some in rows.items() if split == "train" or split not in files for row in some]
    found = {name for row in own for name in _names(row)}
    if len(found) < 2:
        raise DataError(
            f"{files['train']}: {task.answers_in} holds {min(found)!r} in every row; expected two labels or more"
        )
    labels = tuple(sorted(found)) if task.kind == "classify" else _tags(found)
    for split, path in files.items():
        _refuse_unseen(labels, path, rows[split])
    return labels


def _empty(split: str, files: Mapping[str, Path]) -> str:
    if split in files:
        return f"{files[split]}: has no rows; expected some for the {split} split"
    return (
        f"{files['train']}: has too few rows to hold some back for the {split} split; give more rows, a {split} file, "
        f"or raise recipe.finetune.*.dev_fraction"
    )


def _tags(found: set[str]) -> tuple[str, ...]:
    """Give the tags of the types that are found: an entity may begin with B and go on with I even if none here does."""
    types = sorted({tag.partition("-")[2] for tag in found} - {""})
    marks = "BI" if any(tag.startswith("B-") for tag in found) else "I"
    return ("O", *(f"{mark}-{name}" for name in types for mark in marks))


def _refuse_unanswered(task: Task, path: Path, split: str, rows: Sequence[Row]) -> None:
    for row in rows:
        if row.answer is None:
            mend = "name their column in recipe.finetune.*.label_column, or give" if task.named else "give"
            raise DataError(
                f"{path}: {_place(row)} has no answer; expected one in {task.answers_in} of every row of the "
                f"{split} split; {mend} labelled rows"
            )


def _refuse_unseen(labels: tuple[str, ...], path: Path, rows: Sequence[Row]) -> None:
    for row in rows:
        for name in _names(row):
            if name not in labels:
                raise DataError(
                    f"{path}: line {row.line} has the label {name!r}, which no training row has; "
                    f"expected one of {', '.join(labels)}"
                )


def _place(row: Row) -> str:
    return f"line {row.line}" if row.line else f"question {getattr(row, 'id', '')}"


def _names(row: Row) -> tuple[str, ...]:
    match row.answer:
        case None:
            return ()
        case str(name):
            return (name,)
        case names:
            return tuple(names)  # type: ignore[arg-type]
