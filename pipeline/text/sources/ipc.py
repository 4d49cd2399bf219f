"""Arrow files, as `datasets` saves and caches them: a record a row, its text in a named column."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError
from pipeline.text.clean import normalise
from pipeline.text.sources import files
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span

FILE_MAGIC = b"ARROW1"


def find(path: Path, split: str) -> list[Path]:
    """List the Arrow files under a path."""
    return files.find(path, r"\.arrow$", "Arrow file (.arrow)")


def read(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the rows of an Arrow file, in either of its two formats; one without a text in the column is skipped.

    Raises: DataError if the file is not a whole Arrow file, or has no such column of strings.
    """
    number = 0
    with _batches(path) as batches:
        for batch in batches:
            names = _columns(path, batch.schema, reading.text_column)
            cells = [_strings(batch.column(name)) for name in names]
            for row in zip(*cells, strict=True):
                number += 1
                yield _document(dict(zip(names, row, strict=True)), reading, path, number)


def _document(row: dict[str, str | None], reading: Reading, path: Path, number: int) -> Document | Skipped:
    text = row[reading.text_column]
    if text is None:
        return Skipped(f"row {number}", f"no text in the column {reading.text_column!r} (null, or not UTF-8)")
    title = normalise(row.get("title") or "") or f"{path.name}:{number}"
    paragraphs = [line for line in text.split("\n") if line and not line.isspace()]
    return Document(reading.source, title, normalise(row.get("url") or ""), paragraphs)


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
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a whole Arrow file ({error}); download or write it again") from error


def _columns(path: Path, schema: Any, text_column: str) -> list[str]:
    if text_column not in schema.names:
        raise DataError(
            f"{path}: no column {text_column!r}; the file has {', '.join(schema.names)}: name one of these as the text column"
        )
    names = [text_column, *(name for name in ("title", "url") if name in schema.names and name != text_column)]
    texts = [
        name
        for name in names
        if "string" in (kind := str(schema.field(name).type)) and not kind.startswith(("list", "struct"))
    ]
    if text_column not in texts:
        kind = schema.field(text_column).type
        raise DataError(f"{path}: the column {text_column!r} holds {kind}, expected string; name another text column")
    return texts


def _strings(column: Any) -> list[str | None]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [_string(cell) for cell in column]


def _string(cell: Any) -> str | None:
    try:
        value = cell.as_py()
    except UnicodeDecodeError:
        return None
    return value if isinstance(value, str) else None


SOURCE = Source("Arrow files, as `datasets` saves them: a record a row, the text in a named column.", find, read)
