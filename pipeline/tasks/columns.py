"""Any table with named columns: .csv, .tsv and JSON lines (.gz as well), in a folder with its splits or one file.

What a file is, its first character and its name say: an object a line is JSON; a .tsv has tabs; all else commas. Cells may
be quoted as RFC 4180 has it.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pipeline.core.errors import DataError
from pipeline.tasks.rows import Labelled, Scored
from pipeline.tasks.separated import as_number, is_json, json_lines, quoted, with_header
from pipeline.tasks.splits import Names, find_splits
from pipeline.tasks.task import Columns, Row, Task

NAMES: Names = {
    "train": ("train.*",),
    "dev": ("dev.*", "val.*", "valid.*", "validation.*"),
    "test": ("test.*",),
}
LAYOUT = "tables with named columns"

Read = Callable[[Path, Columns], Iterator[Row]]


def named_columns(question: str, kind: Literal["classify", "regress"], metrics: tuple[str, ...]) -> Task:
    """Describe a task over columns that the user names: classes are those of the training rows."""
    read: Read = read_labelled if kind == "classify" else read_scored
    files = partial(find_splits, names=NAMES, layout=LAYOUT)
    return Task(question, kind, metrics, files, lambda path: read(path, Columns()), named=read)


def read_labelled(path: Path, columns: Columns) -> Iterator[Labelled]:
    """Stream the rows of a table with classes; a table without the label column is an unlabelled test set.

    Raises: DataError for a missing column, a row of another width, text that is no text, or a table without rows.
    """
    for number, record in _records(path, columns):
        answer = _cell(record, columns.label, path, number) if columns.label in record else None
        if answer == "":
            raise DataError(f"{path}: line {number} has nothing in the column {columns.label}; expected a label")
        yield Labelled(*_texts(record, columns, path, number), answer, number)


def read_scored(path: Path, columns: Columns) -> Iterator[Scored]:
    """Stream the rows of a table with numbers; a table without their column is an unlabelled test set.

    Raises: DataError for a missing column, a row of another width, a score that is no number, or a table without rows.
    """
    for number, record in _records(path, columns):
        text = _cell(record, columns.label, path, number) if columns.label in record else None
        answer = None if text is None else as_number(text, path, number)
        yield Scored(*_texts(record, columns, path, number), answer, number)


def _records(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, Any]]]:
    needed = [name for name in (columns.text, columns.second) if name]
    if is_json(path):
        return json_lines(path, needed)
    delimiter = "\t" if path.name.removesuffix(".gz").endswith(".tsv") else ","
    return with_header(quoted(path, delimiter), path, needed, columns.label)


def _texts(record: dict[str, Any], columns: Columns, path: Path, number: int) -> tuple[str, str]:
    first = _cell(record, columns.text, path, number)
    return first, _cell(record, columns.second, path, number) if columns.second else ""


def _cell(record: dict[str, Any], name: str, path: Path, number: int) -> str:
    """Take a cell as text: JSON may hold a number or true where a class is meant."""
    match record[name]:
        case str(text):
            return text.strip()
        case bool(value):
            return str(value).lower()
        case int(value) | float(value):
            return str(value)
        case other:
            raise DataError(
                f"{path}: line {number} has {json.dumps(other)[:40]} in the field {name}; expected text, or a number as a label"
            )
