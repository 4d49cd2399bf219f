"""Lines of a task's file, plain or .gz, with their numbers; what is no UTF-8 is named by its line."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.errors import DataError


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end); a byte-order mark is dropped.

    Raises: DataError if the file is cut, empty, or holds bytes that are not UTF-8.
    """
    number = 0
    for number, raw in enumerate(_raw(path), start=1):
        try:
            yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: line {number} is not UTF-8 ({error.reason}); convert the file") from error
    if not number:
        raise DataError(f"{path}: is empty; expected one row a line")


def _raw(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: is cut or damaged ({error}); download or copy it again") from error
