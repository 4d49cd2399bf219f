"""Multiple choice: the begin of a text and four endings, of which one is right.

SWAG (Zellers et al. 2018) has a sentence and the begin of the next, in .csv or in JSON lines with the same names; CODAH (Chen
et al. 2019) has a prompt, in tabs without a header.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError
from pipeline.tasks.rows import Choice
from pipeline.tasks.separated import is_json, json_lines, quoted, tabbed, under, with_header
from pipeline.tasks.splits import Names, find_splits
from pipeline.tasks.task import Task

ENDINGS = ("ending0", "ending1", "ending2", "ending3")
NEEDED = ("sent1", "sent2", *ENDINGS)
LABELS = ("0", "1", "2", "3")
CODAH = ("category", "prompt", *ENDINGS, "label")
NAMES: Names = {
    "train": ("train.csv", "train.json", "train.jsonl"),
    "dev": ("dev.csv", "val.csv", "dev.json", "val.json", "dev.jsonl", "val.jsonl"),
    "test": ("test.csv", "test.json", "test.jsonl"),
}


CODAH_NAMES: Names = {"train": ("train.tsv",), "dev": ("dev.tsv",), "test": ("test.tsv",)}

Read = Callable[[Path], Iterator[Choice]]


def swag() -> Task:
    """Describe a task in the layout of SWAG."""
    return _choosing(NAMES, "multiple choice in the layout of SWAG", read_swag)


def codah() -> Task:
    """Describe a task in the layout of CODAH."""
    return _choosing(CODAH_NAMES, "multiple choice in the layout of CODAH", read_codah)


def read_codah(path: Path) -> Iterator[Choice]:
    """Stream the questions of a file.

    Raises: DataError for a row of another width, a label other than 0 to 3, or a file without rows.
    """
    for number, record in under(CODAH, tabbed(path), path, "the layout of CODAH"):
        endings = tuple(record[name].strip() for name in ENDINGS)
        yield Choice(record["prompt"].strip(), "", endings, _right(record, path, number), number)


def read_swag(path: Path) -> Iterator[Choice]:
    """Stream the questions of a file; one without the column label is an unlabelled test set.

    Raises: DataError for a missing column, a row of another width, a label other than 0 to 3, or a file without rows.
    """
    records = json_lines(path, NEEDED) if is_json(path) else with_header(quoted(path), path, NEEDED)
    for number, record in records:
        context, start, *endings = (_text(record, name, path, number) for name in NEEDED)
        yield Choice(context, start, tuple(endings), _right(record, path, number), number)


def _choosing(names: Names, layout: str, read: Read) -> Task:
    files = partial(find_splits, names=names, layout=layout)
    return Task("which ending goes on?", "choose", ("accuracy",), files, read, LABELS, choices=len(ENDINGS))


def _text(record: dict[str, Any], name: str, path: Path, number: int) -> str:
    value = record[name]
    if not isinstance(value, str):
        raise DataError(f"{path}: line {number} has {str(value)[:40]!r} in the field {name}; expected text")
    return value.strip()


def _right(record: dict[str, Any], path: Path, number: int) -> int | None:
    label = record.get("label")
    if label is None:
        return None
    if str(label) not in LABELS:
        raise DataError(f"{path}: line {number} has the label {str(label)!r}; expected one of {', '.join(LABELS)}")
    return int(label)
