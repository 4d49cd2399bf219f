"""Files of a source: which ones a path means, and their bytes, decompressed.

What cannot be read to its end is an error that names the file: a corpus is never silently short.
"""

import bz2
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import IO, cast

from pipeline.core.errors import ConfigError, DataError

MAGIC = {".gz": b"\x1f\x8b", ".bz2": b"BZh"}


def find(path: Path, names: str, what: str) -> list[Path]:
    """List the files that a path means, in a fixed order.

    A file or a glob is taken at its word; a folder is searched, subfolders too, for `names` (a regular expression).
    Hidden files and folders are ignored.

    Raises: ConfigError if there is no such file.
    """
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [
            file for file in path.rglob("*") if re.search(names, file.name) and not _hidden(file.relative_to(path))
        ]
        missing = f"{path}: no {what} in this folder; put one there or name another folder"
    else:
        found = [Path(name) for name in glob(str(path), recursive=True)]  # noqa: PTH207 - Path.glob finds hidden files too
        missing = f"{path}: no such file or folder, and no file matches it as a glob; expected {what}"
    files = sorted((file for file in found if file.is_file()), key=Path.as_posix)
    if not files:
        raise ConfigError(missing)
    return files


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain, .gz or .bz2 file (also one of many streams) for reading its decompressed bytes.

    Raises: DataError, also while the body reads: the file is cut, damaged, not readable or not what its name says.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); check that it is there and readable") from error
    with raw:
        try:
            yield _decompressed(path, raw)
        except EOFError as error:
            raise DataError(
                f"{path}: cut at byte {raw.tell()}, in the middle of a compressed stream; download or copy it again"
            ) from error
        except (OSError, zlib.error) as error:
            raise DataError(f"{path}: damaged before byte {raw.tell()} ({error}); download or copy it again") from error


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _decompressed(path: Path, raw: IO[bytes]) -> IO[bytes]:
    start = raw.read(3)
    raw.seek(0)
    claimed = MAGIC.get(path.suffix.lower())
    if claimed and not start.startswith(claimed):
        raise DataError(
            f"{path}: not a {path.suffix} file (it begins with {start!r}, expected {claimed!r}); "
            "download it again, or rename it if it is not compressed"
        )
    if start.startswith(MAGIC[".gz"]):
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if start.startswith(MAGIC[".bz2"]):
        return bz2.BZ2File(raw)
    return raw
