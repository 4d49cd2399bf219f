"""Tables in text, CSV and its kin: a record a row, its text in a named column; `title` and `url` are taken where they are.

Fields may be quoted, and then hold the delimiter, line breaks and doubled quotes (RFC 4180).
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.text.clean import normalise
from pipeline.text.sources import deadline, files
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span
from pipeline.text.sources.errors import CutError
from pipeline.text.sources.runs import runs, too_long

DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class _Table:
    """Where the columns of a table are that are read; None for one that is not there."""

    width: int
    text: int
    title: int | None
    url: int | None


def find(path: Path, split: str) -> list[Path]:
    """List the tables under a path."""
    return files.find(path, r"\.[ct]sv(\.gz|\.bz2)?$", "table (.csv, .tsv, .csv.gz, .tsv.gz)")


def read(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the rows of a table; one of another width than the header, or that is not UTF-8, is skipped.

    Raises: DataError if the file has no such column, is damaged, or has a quote that is never closed.
    """
    return files.whole_or_kept(_documents(path, reading), reading)


def _documents(path: Path, reading: Reading) -> Iterator[Document | Skipped]:
    csv.field_size_limit(files.RECORD_BYTES)
    lines = _lines(path)
    header = next((line for line in lines if line.strip()), "")
    delimiter, names = _header(path, header, reading.text_column)
    column = {name: at for at, name in enumerate(names)}
    table = _Table(len(names), column[reading.text_column], column.get("title"), column.get("url"))
    yield from deadline.made(
        _rows(path, lines, delimiter),
        lambda row: row if isinstance(row, Skipped) else _document(*row, table, reading, path.name),
        lambda row: row.where if isinstance(row, Skipped) else _where(row[0]),
        reading.document_seconds,
    )


def _rows(path: Path, lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]] | Skipped]:
    """Yield the rows with the numbers of their lines; of one whose quotes are wrong its first line is skipped.

    What follows that line is read again: with a quote that was not meant to open there, any number of good rows may have gone.
    """
    retraced = _Retraced(lines)
    reader = csv.reader(retraced, delimiter=delimiter, strict=True)
    number = 2
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise CutError(path, path.stat().st_size, f"in quotes that open after line {number - 1}") from error
            yield Skipped(_where(number), f"not a row of a table ({error}); mend its quotes")
            retraced.again(1)
            number += 1
        else:
            if row is None:
                return
            if row:
                yield number, row
            number += retraced.kept()


class _Retraced:
    """Lines of which those that were read last can be read once more."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: list[str] = []  # in reverse
        self._read: list[str] = []

    def __iter__(self) -> Iterator[str]:
        while line := self._again.pop() if self._again else next(self._lines, ""):
            self._read.append(line)
            yield line

    def kept(self) -> int:
        """Be done with what was read since, and count its lines."""
        count = len(self._read)
        self._read.clear()
        return count

    def again(self, begin: int) -> None:
        """Let what was read since be read once more, from one of its lines on."""
        self._again.extend(reversed(self._read[begin:]))
        self._read.clear()


def _header(path: Path, line: str, text_column: str) -> tuple[str, list[str]]:
    """Find the delimiter and the names of the columns.

    Raises: DataError if no delimiter gives the text column.
    """
    usual = "\t" if ".tsv" in path.name.lower() else ","
    for delimiter in sorted(DELIMITERS, key=lambda known: known != usual):
        names = next(csv.reader([line], delimiter=delimiter), [])
        if text_column in names:
            return delimiter, names
    names = next(csv.reader([line], delimiter=usual), [])
    there = ", ".join(name or "(no name)" for name in names[:50]) or "no columns"
    raise DataError(
        f"{path}: no column {text_column!r}; the file has {there[:500]}: name one of these as the text column"
    )


def _where(number: int) -> str:
    return f"line {number}"


def _document(number: int, row: list[str], table: _Table, reading: Reading, name: str) -> Document | Skipped:
    if len(row) != table.width:
        return Skipped(_where(number), f"{len(row)} fields, expected {table.width}; mend its quotes and delimiters")
    text = row[table.text]
    if not _is_utf8(text):
        return Skipped(_where(number), "not UTF-8; convert the file to UTF-8")
    paragraphs = [part for part in text.split("\n") if part and not part.isspace()]
    return Document(reading.source, _named(row, table.title) or f"{name}:{number}", _named(row, table.url), paragraphs)


def _named(row: list[str], at: int | None) -> str:
    name = "" if at is None else row[at]
    return normalise(name) if _is_utf8(name) else ""


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # what `_lines` could not decode
        return False
    return True


def _lines(path: Path) -> Iterator[str]:
    """Yield lines with their ends; bytes that are not UTF-8 become lone surrogates, so that only their record is skipped."""
    first = True
    with files.opened(path) as stream:
        for run in runs(files.chunks(stream), b"\n", too_long(path, "line")):
            text = run.decode("utf-8", "surrogateescape")
            yield from io.StringIO(text.removeprefix("\ufeff") if first else text, newline="")
            first = False


SOURCE = Source("Tables in text (.csv, .tsv): a record a row, the text in a named column.", find, read)
