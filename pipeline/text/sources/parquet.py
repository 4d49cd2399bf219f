"""Parquet: a record a row, its text in a named column; `title` and `url` are taken where they are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError
from pipeline.text.clean import normalise, paragraphs
from pipeline.text.sources import files
from pipeline.text.sources.document import Document, Reading, Skipped, Source

ROWS_PER_BATCH = 256
"""Few, because a row may be a whole book."""


def find(path: Path) -> list[Path]:
    """List the Parquet files under a path."""
    return files.find(path, r"\.parquet$", "Parquet file (.parquet)")


def read(path: Path, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the rows of a Parquet file; one without a text in the column is skipped.

    Raises: DataError if the file is not a whole Parquet file, or has no such column of strings.
    """
    for number, row in enumerate(_rows(path, reading.text_column), start=1):
        text, title, url = (_string(row.get(name)) for name in (reading.text_column, "title", "url"))
        if text is None:
            yield Skipped(f"row {number}", f"no text in the column {reading.text_column!r} (null, or not UTF-8)")
        else:
            title = normalise(title or "") or f"{path.name}:{number}"
            yield Document(reading.source, title, normalise(url or ""), paragraphs(text.split("\n")))


def _rows(path: Path, text_column: str) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = _columns(path, file.schema_arrow, text_column)
            for batch in file.iter_batches(ROWS_PER_BATCH, columns=names):
                columns = [batch.column(name) for name in names]
                for row in zip(*columns, strict=True):
                    yield dict(zip(names, row, strict=True))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a whole Parquet file ({error}); download or write it again") from error


def _columns(path: Path, schema: Any, text_column: str) -> list[str]:
    if text_column not in schema.names:
        raise DataError(
            f"{path}: no column {text_column!r}; the file has {', '.join(schema.names)}: name one of these as the text column"
        )
    kind = str(schema.field(text_column).type)
    if "string" not in kind or kind.startswith(("list", "struct")):
        raise DataError(f"{path}: the column {text_column!r} holds {kind}, expected string; name another text column")
    return [text_column, *(name for name in ("title", "url") if name in schema.names and name != text_column)]


def _string(scalar: Any) -> str | None:
    """Take the text of a cell; None if there is none."""
    try:
        value = None if scalar is None else scalar.as_py()
    except UnicodeDecodeError:
        return None
    return value if isinstance(value, str) else None


SOURCE = Source("Parquet files: a record a row, the text in a named column.", find, read)
