"""JSON lines: a record a line, its text in a named column; `title` and `url` are taken where they are."""

import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.text.clean import normalise, paragraphs
from pipeline.text.sources import files
from pipeline.text.sources.document import Document, Reading, Skipped, Source


def find(path: Path) -> list[Path]:
    """List the JSON lines files under a path."""
    return files.find(path, r"\.(jsonl|ndjson)(\.gz)?$|\.json\.gz$", "JSON lines file (.jsonl, .jsonl.gz)")


def read(path: Path, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the records of a JSON lines file; one without a text in the column is skipped."""
    with files.opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield _document(line, reading, number, path)


def _document(line: bytes, reading: Reading, number: int, path: Path) -> Document | Skipped:
    where = f"line {number}"
    try:
        row = json.loads(line.strip().decode("utf-8-sig"))
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
        there = ", ".join(row) or "none"
        return Skipped(where, f"no text in the column {reading.text_column!r}; columns: {there}")
    title = _string(row.get("title")) or f"{path.name}:{number}"
    return Document(reading.source, title, _string(row.get("url")), paragraphs(text.split("\n")))


def _string(value: object) -> str:
    return normalise(value) if isinstance(value, str) else ""


SOURCE = Source("JSON lines files (.jsonl, .jsonl.gz): a record a line, the text in a named column.", find, read)
