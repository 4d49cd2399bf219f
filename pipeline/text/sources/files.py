"""Files of a source: which ones a path means, their bytes, decompressed, and where they can be cut into spans.

What cannot be read to its end is an error that names the file: a corpus is never silently short.
"""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path

from pipeline.core.errors import ConfigError, DataError
from pipeline.text.sources.decompress import MAGIC, Inflated, Stretch
from pipeline.text.sources.document import Document, Reading, Skipped, Span
from pipeline.text.sources.errors import CutError

CHUNK_BYTES = 1 << 18
SPANS = 4096
"""A file is cut into no more spans than this: 20 GB into spans of 5 MB."""
COMPRESSED_SPAN_BYTES = 1 << 19
"""The least that is worth a span of its own: two megabytes of text or more."""
PLAIN_SPAN_BYTES = 4 * COMPRESSED_SPAN_BYTES
RECORD_BYTES = 128 << 20
"""The longest page or line that is read: some thousand times a long one, and its text fits in memory several times over."""
CUT = ".cut"
"""What the name of a note ends in that says where the file that was unpacked beside it is cut."""


def find(path: Path, names: str, what: str) -> list[Path]:
    """List the files that a path means, in a fixed order.

    A file or a glob is taken at its word; a folder is searched, subfolders too, for `names` (a regular expression,
    of either case: EMMA10.TXT is a text).
    Hidden files and folders are ignored.

    Raises: ConfigError if there is no such file, or if the name of one is not UTF-8.
    """
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [
            file
            for file in path.rglob("*")
            if re.search(names, file.name, re.IGNORECASE) and not _hidden(file.relative_to(path))
        ]
        missing = f"{path}: no {what} in this folder; put one there or name another folder"
    else:
        found = [Path(name) for name in glob(str(path), recursive=True)]  # noqa: PTH207 - Path.glob finds hidden files too
        missing = f"{path}: no such file or folder, and no file matches it as a glob; expected {what}"
    files = sorted((file for file in found if file.is_file()), key=Path.as_posix)
    if not files:
        raise ConfigError(missing)
    for file in files:
        require_name(file)
    return files


def require_name(file: Path) -> None:
    """Refuse a file whose name is not UTF-8: titles and notes are made of names.

    Raises: ConfigError if it is not.
    """
    try:
        str(file).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{os.fsencode(file)!r}: the name of this file is not UTF-8, as names must be; rename it, or name other files"
        ) from error


@contextmanager
def opened(path: Path, begin: int = 0, end: int | None = None) -> Iterator[io.BufferedReader]:
    """Open a plain, .gz or .bz2 file (also one of many streams) for reading its decompressed bytes.

    `begin` and `end` are bytes of the file as it lies on disk; in a compressed one a stream must begin at `begin`.

    Raises: CutError or DataError, also while the body reads: the file is cut, damaged, not readable, not what its name says,
    or a decompression bomb.
    """
    with on_disk(path) as raw:
        yield io.BufferedReader(_decompressed(path, raw, begin, end), CHUNK_BYTES)


@contextmanager
def on_disk(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading its bytes as they are.

    Raises: DataError if it cannot be opened.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); check that it is there and readable") from error
    with raw:
        yield raw


def chunks(stream: io.BufferedReader) -> Iterator[bytes]:
    """Yield what can be read of a stream, as much as there is before an error is met."""
    while chunk := stream.read1(CHUNK_BYTES):
        yield chunk


def compression(path: Path) -> str:
    """Tell by its first bytes how a file is compressed: ".gz", ".bz2" or not at all.

    Raises: DataError if it is not what its name says.
    """
    with opened(path) as stream:
        return stream.raw.kind if isinstance(stream.raw, Inflated) else ""


def is_short(path: Path) -> bool:
    """Tell that a compressed file is not worth cutting."""
    return path.stat().st_size <= COMPRESSED_SPAN_BYTES


def whole_or_kept(found: Iterator[Document | Skipped], reading: Reading) -> Iterator[Document | Skipped]:
    """Hand on the documents of a file; of one that is cut those before the cut and a word about it, if that is wished.

    Raises: CutError if the file is cut and that is an error.
    """
    try:
        yield from found
    except CutError as error:
        if reading.truncated == "error":
            raise
        yield Skipped(
            f"byte {error.byte}",
            "the file is cut here; what stands before is kept; to have the rest, download or copy it again",
            documents=0,
        )


def stride(size_bytes: int, least_bytes: int) -> int:
    """Say how long the spans of a file are: few enough to be counted in thousands, long enough to be worth the trouble."""
    return max(least_bytes, -(-size_bytes // SPANS))


def spans(borders: Iterator[int], size_bytes: int, stride_bytes: int) -> list[Span]:
    """Take of the places where a file may be cut, in order, those that give spans of at least a stride."""
    chosen = [0]
    for border in borders:
        if border - chosen[-1] >= stride_bytes:
            chosen.append(border)
    if len(chosen) > 1 and size_bytes - chosen[-1] < stride_bytes // 2:
        chosen.pop()
    return [Span(begin, end) for begin, end in zip(chosen, [*chosen[1:], size_bytes], strict=True)]


def cut_at(path: Path, mark: bytes, shift: int) -> list[Span]:
    """Cut a plain file `shift` bytes after the first byte of the `mark` that follows each stride; nearly all is jumped over."""
    size = path.stat().st_size
    step = stride(size, PLAIN_SPAN_BYTES)
    return spans(_borders(path, mark, shift, step), size, step)


def occurrences(path: Path, mark: bytes, begin: int = 0) -> Iterator[int]:
    """Yield where a mark stands in a file as it lies on disk."""
    with on_disk(path) as raw:
        raw.seek(begin)
        stream = Stretch(path, raw, None)
        tail = b""
        while chunk := stream.read(4 * CHUNK_BYTES):
            data = tail + chunk
            at = data.find(mark)
            while at >= 0:
                yield begin - len(tail) + at
                at = data.find(mark, at + 1)
            begin += len(chunk)
            tail = data[max(0, len(data) - len(mark) + 1) :]


def _borders(path: Path, mark: bytes, shift: int, step: int) -> Iterator[int]:
    border: int | None = 0
    while border is not None:
        found = next(occurrences(path, mark, border + step), None)
        border = None if found is None else found + shift
        if border is not None:
            yield border


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _decompressed(path: Path, raw: io.BufferedReader, begin: int, end: int | None) -> io.RawIOBase:
    if path.suffix == CUT:
        raise CutError(path, int(raw.read()), "in the middle of a compressed stream")
    start = raw.read(3)
    claimed = MAGIC.get(path.suffix.lower())
    if claimed and not start.startswith(claimed[: len(start)]):
        raise DataError(
            f"{path}: not a {path.suffix} file (it begins with {start!r}, expected {claimed!r}); "
            "download it again, or rename it if it is not compressed"
        )
    raw.seek(begin)
    stretch = Stretch(path, raw, end)
    kind = next((name for name, magic in MAGIC.items() if start.startswith(magic)), path.suffix if claimed else "")
    return Inflated(path, stretch, kind) if kind else stretch
