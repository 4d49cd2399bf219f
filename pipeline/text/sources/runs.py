"""Runs of whole records: of lines, of pages; and a long compressed stream rewritten, a run at a time, as files of its own."""

import gzip
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.text.sources import files
from pipeline.text.sources.errors import CutError

GROWTH = 4
"""How much longer text is than its compressed form, about; it makes chunks as long as the spans of other files."""
GZIP_LEVEL = 1
"""Of 6.1 MB of wikitext it leaves 41% at 46 MB a CPU second, where bzip2 takes one to read 8 MB; level 3 leaves 38% at 31."""
CHUNK = re.compile(r"(.+)@(\d{15})\.gz")


def runs(stream: Iterable[bytes], mark: bytes, overflow: Callable[[bytearray], int]) -> Iterator[bytes]:
    """Yield the bytes of a stream in runs that end with a mark, and at last what has none.

    `overflow` says how much of what is held is to be yielded without a mark, when it grows too long.
    """
    held = bytearray()
    for chunk in stream:
        new = max(0, len(held) - len(mark) + 1)
        held += chunk
        at = held.rfind(mark, new)
        end = at + len(mark) if at >= 0 else overflow(held)
        if end:
            yield bytes(held[:end])
            del held[:end]
    if held:
        yield bytes(held)


def too_long(path: Path, record: str) -> Callable[[bytearray], int]:
    """Make an `overflow` that refuses records beyond what memory should hold."""

    def refuse(held: bytearray) -> int:
        if len(held) > files.RECORD_BYTES:
            raise DataError(
                f"{path}: no {record} ends within {files.RECORD_BYTES >> 20} MB; split the file, or name the right kind of source"
            )
        return 0

    return refuse


def rewrite(path: Path, out: Path, records: Iterable[bytes], *, first: bytes = b"", last: bytes = b"") -> None:
    """Write runs of records to compressed files of about equal length in a folder, each between a `first` and a `last`.

    Their names tell which file they are of and where in it, decompressed, they begin. If it is cut, a last note says so to whoever
    reads it.
    """
    most = GROWTH * files.stride(path.stat().st_size, files.COMPRESSED_SPAN_BYTES)
    cuts: list[CutError] = []
    source = _until_cut(records, cuts)
    begin = len(first)
    run = next(source, b"")
    while run:
        end = begin + most
        with _written(out / f"{path.name}@{begin:015}.gz") as chunk:
            chunk.write(first)
            while run and begin < end:
                chunk.write(run)
                begin += len(run)
                run = next(source, b"")
            chunk.write(last)
    for cut in cuts:
        note_cut(path, out, begin, cut)


def note_cut(path: Path, out: Path, begin: int, cut: CutError) -> None:
    """Write a note that a file is cut, to be read after what was unpacked of it; `opened` raises what it says."""
    (out / f"{path.name}@{begin:015}{files.CUT}").write_text(str(cut.byte))


def origin(path: Path) -> tuple[str, int]:
    """Tell the name of the file that a file was unpacked from, and where in it it begins; its own, if it was not unpacked."""
    chunk = CHUNK.fullmatch(path.name)
    return (chunk[1], int(chunk[2])) if chunk else (path.name, 0)


def _until_cut(records: Iterable[bytes], cuts: list[CutError]) -> Iterator[bytes]:
    try:
        yield from records
    except CutError as cut:
        cuts.append(cut)


@contextmanager
def _written(path: Path) -> Iterator[gzip.GzipFile]:
    """Open a chunk for writing: no name and no time in its header, so that the same text makes the same bytes."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as chunk:
        yield chunk
