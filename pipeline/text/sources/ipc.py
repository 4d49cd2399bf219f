"""Arrow files, as `datasets` saves and caches them: a record a row, its text in a named column."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError
from pipeline.text.clean import normalise
from pipeline.text.sources import cells, deadline, files
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span

FILE_MAGIC = b"ARROW1"


def find(path: Path, split: str) -> list[Path]:
    """List the Arrow files under a path."""
    return files.find(path, r"\.arrow$", "Arrow file (.arrow)")


def read(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the rows of an Arrow file, in either of its two formats; one without a text in the column is skipped.

    Raises: DataError if the file is not a whole Arrow file, or has no such column of strings.
    """
    return deadline.made(
        _rows(path, reading.text_column),
        lambda row: _document(*row, reading, path),
        lambda row: _where(row[0]),
        reading.document_seconds,
    )


def _rows(path: Path, text_column: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Yield the rows with their numbers, counted from 1."""
    number = 0
    with _batches(path) as batches:
        for batch in batches:
            names = cells.text_columns(path, batch.schema, text_column)
            columns = [batch.column(name) for name in names]
            for column in columns:
                cells.require_sound(column)
            for number, row in enumerate(zip(*map(_strings, columns), strict=True), start=number + 1):  # noqa: B020
                yield number, dict(zip(names, row, strict=True))


def _document(number: int, row: dict[str, str | None], reading: Reading, path: Path) -> Document | Skipped:
    text = row[reading.text_column]
    if text is None:
        return Skipped(_where(number), f"no text in the column {reading.text_column!r} (null, or not UTF-8)")
    title = normalise(row.get("title") or "") or f"{path.name}:{number}"
    paragraphs = [line for line in text.split("\n") if line and not line.isspace()]
    return Document(reading.source, title, normalise(row.get("url") or ""), paragraphs)


def _where(number: int) -> str:
    return f"row {number}"


@contextmanager
def _batches(path: Path) -> Iterator[Iterator[Any]]:
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as mapped:
            if mapped.read(len(FILE_MAGIC)) == FILE_MAGIC:
                reader = pa.ipc.open_file(mapped)
                yield (reader.get_batch(at) for at in range(reader.num_record_batches))
            else:
                mapped.seek(0)
                yield iter(pa.ipc.open_stream(mapped))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last, if a name is not UTF-8
        raise DataError(f"{path}: not a whole Arrow file ({error}); download or write it again") from error


def _strings(column: Any) -> list[str | None]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [cells.string(cell) for cell in column]


SOURCE = Source("Arrow files, as `datasets` saves them: a record a row, the text in a named column.", find, read)
