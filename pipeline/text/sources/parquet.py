"""Parquet: a record a row, its text in a named column; `title` and `url` are taken where they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import DataError
from pipeline.text.clean import normalise
from pipeline.text.sources import cells, deadline, files
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

ROWS_PER_BATCH = 256
"""Few, because a row may be a whole book."""
BATCH_BYTES = 128 << 20
"""What a batch may grow to: a column may name one long text in every row and hold it once, 470 kB that grow to 20 GB."""
BUFFER_BYTES = 1 << 20


def find(path: Path, split: str) -> list[Path]:
    """List the Parquet files under a path."""
    return files.find(path, r"\.parquet$", "Parquet file (.parquet)")


def cut(path: Path) -> list[Span]:
    """Cut a Parquet file between row groups; spans count these.

    Raises: DataError if it is not a whole Parquet file.
    """
    with _opened(path) as file:
        sizes = [file.metadata.row_group(at).total_byte_size for at in range(file.metadata.num_row_groups)]
    step = files.stride(sum(sizes), files.PLAIN_SPAN_BYTES)
    begin, waiting, spans = 0, 0, []
    for at, size in enumerate(sizes, start=1):
        waiting += size
        if waiting >= step or at == len(sizes):
            spans.append(Span(begin, at))
            begin, waiting = at, 0
    return spans or [Span(0, 0)]


def read(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the rows of some row groups of a Parquet file; one without a text in the column is skipped.

    Raises: DataError if the file is not a whole Parquet file, or has no such column of strings.
    """
    return deadline.made(
        _rows(path, span, reading.text_column),
        lambda row: _document(*row, reading, path),
        lambda row: _where(row[0]),
        reading.document_seconds,
    )


def _document(number: int, row: dict[str, Any], reading: Reading, path: Path) -> Document | Skipped:
    text, title, url = (cells.string(row.get(name)) for name in (reading.text_column, "title", "url"))
    if text is None:
        return Skipped(_where(number), f"no text in the column {reading.text_column!r} (null, or not UTF-8)")
    title = normalise(title or "") or f"{path.name}:{number}"
    paragraphs = [line for line in text.split("\n") if line and not line.isspace()]
    return Document(reading.source, title, normalise(url or ""), paragraphs)


def _where(number: int) -> str:
    return f"row {number}"


def _rows(path: Path, span: Span, text_column: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a span with their numbers in the file, counted from 1."""
    with _opened(path) as file:
        names = cells.text_columns(path, file.schema_arrow, text_column)
        counts = [file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups)]
        number = sum(counts[: span.begin])
        for group in range(span.begin, min(span.end, len(counts))):
            for batch in file.iter_batches(
                _batch_rows(file.metadata.row_group(group)), row_groups=[group], columns=names
            ):
                columns = [batch.column(name) for name in names]
                for column in columns:
                    cells.require_sound(column)
                for number, row in enumerate(zip(*columns, strict=True), start=number + 1):  # noqa: B020
                    yield number, dict(zip(names, row, strict=True))


def _batch_rows(group: Any) -> int:
    """Say how many rows may be read at a time, if each of them were all that the group holds."""
    most_bytes_a_row: int = group.total_byte_size
    return max(1, min(ROWS_PER_BATCH, BATCH_BYTES // max(1, most_bytes_a_row)))


@contextmanager
def _opened(path: Path) -> "Iterator[ParquetFile]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True, buffer_size=BUFFER_BYTES) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last, if a name is not UTF-8
        raise DataError(f"{path}: not a whole Parquet file ({error}); download or write it again") from error


SOURCE = Source("Parquet files: a record a row, the text in a named column.", find, read, cut)
