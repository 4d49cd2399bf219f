"""Lines of a task's file, plain or .gz, with their numbers; what is no UTF-8 is named by its line."""

import gzip
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.errors import DataError


def numbered(path: Path, *, legacy: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end); a byte-order mark is dropped.

    A line that is not UTF-8 is taken for `legacy`.

    Raises: DataError if the file is cut, empty, or holds bytes that are in neither encoding.
    """
    number = 0
    for number, raw in enumerate(_raw(path), start=1):
        yield number, _decoded(raw.removeprefix(BOM_UTF8) if number == 1 else raw, legacy, path, number).rstrip("\r\n")
    if not number:
        raise DataError(f"{path}: is empty; expected one row a line")


def _decoded(raw: bytes, legacy: str, path: Path, number: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        try:
            return raw.decode(legacy)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: line {number} is not UTF-8 ({error.reason}); convert the file") from error


def _raw(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: is cut or damaged ({error}); download or copy it again") from error
