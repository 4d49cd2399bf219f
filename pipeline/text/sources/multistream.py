"""Where a .bz2 file of many streams can be cut: at the beginnings of its streams.

Wikimedia's multistream dumps hold a hundred pages a stream, and an index of where each begins may lie beside them.
Source: meta.wikimedia.org/wiki/Data_dumps/Dump_format, "Multistream dumps"
"""

import re
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.text.sources import files
from pipeline.text.sources.document import Span

BLOCK = b"1AY&SY"
"""0x314159265359, with which each block begins; only the first of a stream is sure to begin at a whole byte."""
START = re.compile(rb"BZh[1-9]" + BLOCK)
START_BYTES = 10
TRUSTED = 2
"""Strides that lie between two streams of an index; one that leaves out more belongs to another file or is cut."""


def cut(path: Path) -> list[Span]:
    """Cut a .bz2 file at its streams; there is one span if it has but one."""
    size = path.stat().st_size
    step = files.stride(size, files.COMPRESSED_SPAN_BYTES)
    return _by_index(path, size, step) or files.spans(_starts(path), size, step)


def _starts(path: Path) -> Iterator[int]:
    with files.on_disk(path) as raw:
        for block in files.occurrences(path, BLOCK):
            if _begins(raw, block - START_BYTES + len(BLOCK)):
                yield block - START_BYTES + len(BLOCK)


def _by_index(path: Path, size: int, step: int) -> list[Span]:
    """Cut by the index beside a dump; nothing if there is none, or if it does not fit."""
    index = path.with_name(re.sub(r"(\d*)\.xml(.*)\.bz2$", r"-index\1.txt\2.bz2", path.name))
    if index == path or not index.is_file():
        return []
    try:
        spans = files.spans(_offsets(index), size, step)
    except (DataError, ValueError):  # then the streams themselves are asked
        return []
    with files.on_disk(path) as raw:
        fits = all(0 < span.end - span.begin <= TRUSTED * step and _begins(raw, span.begin) for span in spans)
    return spans if fits else []


def _offsets(index: Path) -> Iterator[int]:
    last = b""
    with files.opened(index) as lines:
        for line in lines:
            offset = line.partition(b":")[0]
            if offset != last:
                last = offset
                yield int(offset)


def _begins(raw: BufferedReader, at: int) -> bool:
    if at < 0:
        return False
    raw.seek(at)
    return START.fullmatch(raw.read(START_BYTES)) is not None
