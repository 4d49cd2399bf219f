"""JSON lines: a record a line, its text in a named column; `title` and `url` are taken where they are."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from pipeline.text.clean import normalise
from pipeline.text.sources import deadline, files
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span, uncut
from pipeline.text.sources.runs import origin, rewrite, runs, too_long

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, as JSON can write it; no UTF-8 file can hold it."""
NAMED = 50
"""How many columns of a record a note names."""


def find(path: Path, split: str) -> list[Path]:
    """List the JSON lines files under a path."""
    return files.find(path, r"\.(jsonl|ndjson)(\.gz)?$|\.json\.gz$", "JSON lines file (.jsonl, .jsonl.gz)")


def cut(path: Path) -> list[Span]:
    """Cut a plain file between lines; a long compressed one must be unpacked.

    Raises: DataError if the file is not what its name says.
    """
    if not files.compression(path):
        return files.cut_at(path, b"\n", 1)
    return uncut(path) if files.is_short(path) else []


def unpack(path: Path, out: Path) -> None:
    """Rewrite a compressed file as several.

    Raises: DataError if it is damaged, or if a line is too long to be a record.
    """
    with files.opened(path) as stream:
        rewrite(path, out, runs(files.chunks(stream), b"\n", too_long(path, "line")))


def read(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the records in a span of a JSON lines file; one without a text in the column is skipped.

    A record is named by the byte at which its line begins, in the decompressed file: it is the same however the file is cut.

    Raises: DataError if the file is cut or damaged, or if a line is too long to be a record.
    """
    return files.whole_or_kept(_records(path, span, reading), reading)


def _records(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    name, byte = origin(path)
    return deadline.made(
        _lines(path, span, byte + span.begin),
        lambda line: _document(line[1], reading, line[0], name),
        lambda line: _where(line[0]),
        reading.document_seconds,
    )


def _lines(path: Path, span: Span, byte: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a span that are not blank, with the byte at which each begins, if the first begins at `byte`."""
    with files.opened(path, span.begin, span.end) as stream:
        for run in runs(files.chunks(stream), b"\n", too_long(path, "line")):
            at = byte
            for line in [] if run.isspace() else run.split(b"\n"):
                if line and not line.isspace():
                    yield at, line
                at += len(line) + 1
            byte += len(run)


def _document(line: bytes, reading: Reading, byte: int, name: str) -> Document | Skipped:
    where = _where(byte)
    try:
        row = _parsed(line)
    except UnicodeDecodeError as error:
        return Skipped(where, f"not UTF-8 at byte {error.start} of the line")
    except (ValueError, RecursionError) as error:
        return Skipped(where, f"not JSON ({error})")
    if not isinstance(row, dict):
        return Skipped(
            where, f"a JSON {type(row).__name__}, expected an object with the column {reading.text_column!r}"
        )
    text = row.get(reading.text_column)
    if not isinstance(text, str):
        there = ", ".join(islice(row, NAMED)) or "none"
        return Skipped(where, f"no text in the column {reading.text_column!r}; columns: {there[:500]}")
    title = _string(row.get("title")) or f"{name} at byte {byte}"
    return Document(reading.source, title, _string(row.get("url")), _paragraphs(text, line))


def _parsed(line: bytes) -> Any:
    """Parse a line; what the fast parser refuses (a byte order mark, half a surrogate pair, NaN) the standard one may take."""
    try:
        return orjson.loads(line)
    except ValueError:
        return json.loads(line.strip().decode("utf-8-sig"))


def _where(byte: int) -> str:
    return f"the line at byte {byte}"


def _paragraphs(text: str, line: bytes) -> list[str]:
    if b"\\u" in line:
        text = SURROGATE.sub("", text)
    return list(filter(None, text.split("\n")))


def _string(value: object) -> str:
    return normalise(value) if isinstance(value, str) else ""


SOURCE = Source(
    "JSON lines files (.jsonl, .jsonl.gz): a record a line, the text in a named column.", find, read, cut, unpack
)
