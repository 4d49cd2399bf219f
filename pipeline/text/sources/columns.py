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
from pipeline.text.sources import files
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
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    number = 2
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise CutError(path, path.stat().st_size, f"in quotes that open after line {number - 1}") from error
            yield Skipped(f"line {number}", f"not a row of a table ({error}); mend its quotes")
        else:
            if row is None:
                return
            if row:
                yield _document(row, table, reading, f"{path.name}:{number}")
        number = reader.line_num + 2


def _header(path: Path, line: str, text_column: str) -> tuple[str, list[str]]:
    """Find the delimiter and the names of the columns.

    Raises: DataError if no delimiter gives the text column.
    """
    usual = "\t" if ".tsv" in path.suffixes else ","
    for delimiter in sorted(DELIMITERS, key=lambda known: known != usual):
        names = next(csv.reader([line], delimiter=delimiter), [])
        if text_column in names:
            return delimiter, names
    names = next(csv.reader([line], delimiter=usual), [])
    there = ", ".join(name or "(no name)" for name in names[:50]) or "no columns"
    raise DataError(
        f"{path}: no column {text_column!r}; the file has {there[:500]}: name one of these as the text column"
    )


def _document(row: list[str], table: _Table, reading: Reading, where: str) -> Document | Skipped:
    line = f"line {where.rpartition(':')[2]}"
    if len(row) != table.width:
        return Skipped(line, f"{len(row)} fields, expected {table.width}; mend its quotes and delimiters")
    text = row[table.text]
    if not _is_utf8(text):
        return Skipped(line, "not UTF-8; convert the file to UTF-8")
    paragraphs = [part for part in text.split("\n") if part and not part.isspace()]
    return Document(reading.source, _named(row, table.title) or where, _named(row, table.url), paragraphs)


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
