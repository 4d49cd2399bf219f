"""Bytes of .gz and .bz2 files, of any number of streams, a little at a time, with an eye on decompression bombs."""

import bz2
import io
import zlib
from pathlib import Path
from typing import Protocol

from pipeline.core.errors import DataError
from pipeline.text.sources.errors import CutError

MAGIC = {".gz": b"\x1f\x8b", ".bz2": b"BZh"}
RAW_BYTES = 1 << 15
"""Small, because what is left behind the end of a stream is copied, and streams may be tiny."""
BOMB_RATIO = 200
"""Text that grows by more is refused. Dumps of wikis grow 4-10 times, zeros in gzip 1,030 times (zlib.net/zlib_tech.html), in bzip2
45,000 times."""
BOMB_FLOOR_BYTES = 64 << 20
"""Text that is shorter is never refused: it fits in memory, however small it was packed."""


class Stretch(io.RawIOBase):
    """The bytes of a file from where it stands to `end`."""

    def __init__(self, path: Path, raw: io.BufferedReader, end: int | None) -> None:
        self._path = path
        self._raw = raw
        self._begin = raw.tell()
        self._left = None if end is None else max(0, end - self._begin)

    def readable(self) -> bool:
        """Say that it is for reading."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as there is something to read.

        Raises: DataError if the disk or the network fails.
        """
        try:
            size = self._raw.readinto(memoryview(buffer)[: self._left])
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read after byte {self.byte} ({error}); copy it again") from error
        if self._left is not None:
            self._left -= size
        return size

    @property
    def byte(self) -> int:
        """Where in the file the next byte would be read."""
        return self._raw.tell()

    @property
    def consumed(self) -> int:
        """How many bytes were read."""
        return self.byte - self._begin


class Inflated(io.RawIOBase):
    """What a stretch of compressed streams holds."""

    def __init__(self, path: Path, source: Stretch, kind: str) -> None:
        self._path = path
        self._source = source
        self.kind = kind
        self._stream = _begin(kind)
        self._pending = b""
        self._produced = 0

    def readable(self) -> bool:
        """Say that it is for reading."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a part of a buffer; nothing only at the end of the last stream.

        Raises: CutError if the last stream does not end; DataError if one is damaged or a decompression bomb.
        """
        data = b""
        while not data and self._goes_on():
            if not self._pending and self._stream.needs_input:
                self._pending = self._read()
                if not self._pending:
                    raise CutError(self._path, self._source.byte, "in the middle of a compressed stream")
            data = self._inflate(len(buffer))
        buffer[: len(data)] = data
        self._produced += len(data)
        if self._produced > max(BOMB_FLOOR_BYTES, BOMB_RATIO * self._source.consumed):
            raise DataError(
                f"{self._path}: a decompression bomb: {self._source.consumed} bytes have grown to more than {self._produced}, "
                f"{BOMB_RATIO} times as much; no text does that: name another file"
            )
        return len(data)

    def _goes_on(self) -> bool:
        """Begin the next stream where one has ended; zeros behind it are padding."""
        if not self._stream.eof:
            return True
        rest = self._stream.unused_data.lstrip(b"\0")
        while not rest and (more := self._read()):
            rest = more.lstrip(b"\0")
        if rest:
            self._stream, self._pending = _begin(self.kind), rest
        return bool(rest)

    def _inflate(self, size: int) -> bytes:
        pending, self._pending = self._pending, b""
        try:
            return self._stream.decompress(pending, size)
        except (OSError, zlib.error) as error:
            raise DataError(
                f"{self._path}: damaged before byte {self._source.byte} ({error}); download or copy it again"
            ) from error

    def _read(self) -> bytes:
        return self._source.read(RAW_BYTES) or b""


class _Stream(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """One member of a .gz file, with the manners of BZ2Decompressor; zlib checks its sum and length."""

    def __init__(self) -> None:
        self._inside = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inside.eof

    @property
    def needs_input(self) -> bool:
        return not self._inside.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inside.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inside.decompress(self._inside.unconsumed_tail + data, max_length)


def _begin(kind: str) -> _Stream:
    return _Gzip() if kind == ".gz" else bz2.BZ2Decompressor()
