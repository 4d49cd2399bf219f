"""Tables of a task's file, row by row with the line each begins at: tabs without quoting, commas with it, JSON lines."""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError
from pipeline.tasks.lines import numbered

Cells = Iterator[tuple[int, list[str]]]
Record = dict[str, str]
"""A row by the names of its columns."""
CELL_CHARACTERS = 1 << 24
"""No cell of a table is as long; a quotation mark that is never closed makes one."""


def tabbed(path: Path) -> Cells:
    """Yield the cells of each line; quotation marks are ordinary characters, empty lines are passed over.

    Raises: DataError if there are empty lines only.
    """
    count = 0
    for number, line in numbered(path):
        if line:
            yield number, line.split("\t")
            count += 1
    if not count:
        raise DataError(f"{path}: holds empty lines only; expected one row a line")


def joined(path: Path) -> Cells:
    """Yield the cells of each row as `tabbed` does; a row that a line end has broken in two is put together again."""
    width, begin = 0, 0
    held: list[str] = []
    for number, line in numbered(path):
        if not line and not held:
            continue
        cells = line.split("\t")
        begin = begin if held else number
        whole = [*held[:-1], f"{held[-1]} {cells[0]}", *cells[1:]] if held else cells
        width = width or len(whole)
        held = whole if len(whole) < width else []
        if not held:
            yield begin, whole
    if held:
        yield begin, held


def quoted(path: Path, delimiter: str = ",") -> Cells:
    """Yield the cells of each row as RFC 4180 has them: a quoted cell may hold line ends and doubled quotation marks.

    Raises: DataError for a quotation mark that is not closed, or that ends in the middle of a cell.
    """
    csv.field_size_limit(CELL_CHARACTERS)
    reader = csv.reader((f"{line}\n" for _, line in numbered(path)), delimiter=delimiter, strict=True)
    begin = 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}: line {begin} is not a row of a table ({error}); mend its quotation marks"
            ) from error
        if row is None:
            return
        if row:
            yield begin, row
        begin = reader.line_num + 1


def with_header(
    cells: Cells, path: Path, needed: Sequence[str], optional: str = "label"
) -> Iterator[tuple[int, Record]]:
    """Name the cells of each row by the table's first row; a test set may lack the optional column.

    Raises: DataError if a needed column is missing, one is there twice, a row is of another width, or there are no rows.
    """
    _, header = next(cells, (0, [""]))
    require_columns(path, needed, header)
    twice = [name for name in (*needed, optional) if header.count(name) > 1]
    if twice:
        raise DataError(f"{path}: has two columns {twice[0]}; expected one, rename the other")
    return under(header, cells, path)


def under(
    header: Sequence[str], cells: Iterable[tuple[int, list[str]]], path: Path, whose: str = "the header"
) -> Iterator[tuple[int, Record]]:
    """Name the cells of each row by a header; `whose` says where it is from if it is none of the file's.

    Raises: DataError if a row is of another width, or if there are no rows.
    """
    count = 0
    for number, row in cells:
        if len(row) != len(header):
            raise DataError(f"{path}: line {number} has {len(row)} columns and {whose} {len(header)}; mend the row")
        yield number, dict(zip(header, row, strict=True))
        count += 1
    if not count:
        raise DataError(f"{path}: has a header and no rows; expected one row a line")


def is_json(path: Path) -> bool:
    """Say whether a file holds JSON lines, told by its first character."""
    return next(numbered(path))[1].lstrip().startswith("{")


def json_lines(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the object of each line; empty lines are passed over.

    Raises: DataError if a line is no JSON object or lacks a needed field, or if there are none.
    """
    count = 0
    for number, line in numbered(path):
        if not line.strip():
            continue
        record = _object(line, path, number)
        if missing := [name for name in needed if name not in record]:
            raise DataError(
                f"{path}: line {number} has no field {missing[0]}; its fields are {', '.join(map(str, record))}"
            )
        yield number, record
        count += 1
    if not count:
        raise DataError(f"{path}: holds empty lines only; expected one JSON object a line")


def require_columns(path: Path, needed: Sequence[str], header: Sequence[str]) -> None:
    """Refuse a table without a column.

    Raises: DataError.
    """
    if missing := [name for name in needed if name not in header]:
        raise DataError(f"{path}: has no column {missing[0]}; its columns are {', '.join(header)}")


def peek(cells: Cells) -> tuple[list[str], Cells]:
    """Give the first row, and all rows with it."""
    first = next(cells)
    return first[1], chain([first], cells)


def one_of(text: str, labels: Sequence[str], path: Path, number: int) -> str:
    """Let a label through.

    Raises: DataError for one that the task does not have.
    """
    if text not in labels:
        raise DataError(f"{path}: line {number} has the label {text!r}; expected one of {', '.join(labels)}")
    return text


def as_number(text: str, path: Path, number: int) -> float:
    """Read a score.

    Raises: DataError if it is no finite number.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}: line {number} has the score {text!r}; expected a number such as 3.8")
    return value


def _object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {number} is not JSON ({error.msg}, column {error.colno}); mend the line"
        ) from error
    if not isinstance(record, dict):
        raise DataError(f'{path}: line {number} is no JSON object; expected one a line, such as {{"text": "..."}}')
    return record
