"""Files and their digests: the same bytes, the same name, wherever they lie."""

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError, StoreError

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """A file from outside that goes into an artifact: what it is called there, where it lies here, what it holds."""

    name: str
    path: Path
    size_bytes: int
    sha256: str

    def what(self) -> dict[str, Any]:
        """Give what names it: not where it lies."""
        return {"name": self.name, "bytes": self.size_bytes, "sha256": self.sha256}


def require_unchanged(path: Path, sha256: str) -> None:
    """Check, after a file from outside was read, that it is still the one that was planned.

    Raises: DataError if it was changed meanwhile.
    """
    if sha256_of(path) != sha256:
        raise DataError(f"{path}: was changed during the run; leave it alone and run again")


def sha256_of(path: Path) -> str:
    """Hash a file in blocks of a megabyte."""
    digest = hashlib.sha256()
    block = bytearray(BLOCK_BYTES)
    view = memoryview(block)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(view[:count])
    return digest.hexdigest()


class Digests:
    """Digests of files outside the store, remembered by (path, size, time of change, inode) so that a plan is instant.

    The memory is one JSON line a file; losing it costs only time.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, str] = dict(_remembered(memory))

    def describe(self, paths: Iterable[Path]) -> tuple[SourceFile, ...]:
        """Describe files found together; they are named by their path below the folder they share.

        Raises: DataError if one cannot be read.
        """
        listed = list(paths)
        top = Path(os.path.commonpath([path.parent for path in listed])) if listed else Path()
        return tuple(self._describe(path, path.relative_to(top).as_posix()) for path in listed)

    def _describe(self, path: Path, name: str) -> SourceFile:
        try:
            stat = path.stat()
            mark = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"
            digest = self._known.get(mark) or sha256_of(path)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); check that it is there and readable"
            ) from error
        self._remember(mark, digest)
        return SourceFile(name, path.absolute(), stat.st_size, digest)

    def _remember(self, mark: str, digest: str) -> None:
        if mark in self._known or not self._memory.parent.is_dir():
            return  # known, or no store yet: `pretrace plan` makes none
        self._known[mark] = digest
        with suppress(OSError), self._memory.open("a", encoding="utf-8") as file:  # it is only a memory
            file.write(json.dumps([mark, digest]) + "\n")


def _remembered(memory: Path) -> Iterable[tuple[str, str]]:
    if not memory.exists():
        return
    for line in memory.read_text(encoding="utf-8").splitlines():
        try:
            mark, digest = json.loads(line)
        except ValueError:
            continue  # a line cut by a kill: hashed again
        yield mark, digest


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w", encoding="utf-8") as file:
        file.write(json_text(value))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def json_text(value: Any) -> str:
    """Give the text that `write_json` writes."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def read_json(path: Path) -> Any:
    """Read JSON that we wrote.

    Raises: StoreError if it does not parse.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path}: is not JSON ({error}); the store was changed by hand or the disk failed") from error


def sync_folder(path: Path) -> None:
    """Make renames inside a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
