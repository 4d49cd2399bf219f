"""Columns of strings in Arrow tables, wherever they were read from: which ones there are, whether they are sound, what a cell says."""

from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError

NAMED = 50
"""How many columns an error names."""


def text_columns(path: Path, schema: Any, text_column: str) -> list[str]:
    """Name the columns to read: the one of the text, `title` and `url` if they are there and hold strings.

    Raises: DataError if the text's is not there or holds no strings, or if two have one name.
    """
    if text_column not in schema.names:
        there = ", ".join(schema.names[:NAMED])[:500]
        raise DataError(
            f"{path}: no column {text_column!r}; the file has {there}: name one of these as the text column"
        )
    names = [text_column, *(name for name in ("title", "url") if name in schema.names and name != text_column)]
    for name in names:
        if (count := schema.names.count(name)) > 1:
            raise DataError(f"{path}: {count} columns are called {name!r}, expected one; rename the others")
    kinds = {name: schema.field(name).type for name in names}
    if not _is_string(kinds[text_column]):
        raise DataError(
            f"{path}: the column {text_column!r} holds {kinds[text_column]}, expected string; name another text column"
        )
    return [name for name, kind in kinds.items() if _is_string(kind)]


def require_sound(column: Any) -> None:
    """Look at all of a column before it is read: where a file is damaged, its numbers point anywhere in memory.

    Raises: ArrowInvalid if it is not sound; text that is not UTF-8 is, as far as this goes.
    """
    column.validate()
    _bytes(column).validate(full=True)


def _is_string(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def _bytes(column: Any) -> Any:
    """Take strings for bytes, of which nobody asks that they be UTF-8."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        return pa.DictionaryArray.from_arrays(column.indices, _bytes(column.dictionary))
    kinds = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}
    return column.view(kinds[column.type]) if column.type in kinds else column


def string(scalar: Any) -> str | None:
    """Take the text of a cell; None if there is none."""
    try:
        value = None if scalar is None else scalar.as_py()
    except UnicodeDecodeError:
        return None
    return value if isinstance(value, str) else None
