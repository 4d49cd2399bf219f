"""Plain text: a blank line between documents, a line a paragraph."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.text.sources import deadline, files
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span
from pipeline.text.sources.parts import PART_BYTES, break_at
from pipeline.text.sources.runs import runs

BOM = b"\xef\xbb\xbf"


def find(path: Path, split: str) -> list[Path]:
    """List the text files under a path."""
    return files.find(path, r"\.txt(\.gz)?$|^[^.]+\.gz$", "text file (.txt, .txt.gz)")


def read(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the documents of a text file, very long ones in parts; what is not UTF-8 is skipped.

    Raises: DataError if the file is cut or damaged.
    """
    return files.whole_or_kept(_documents(path, reading), reading)


def _documents(path: Path, reading: Reading) -> Iterator[Document | Skipped]:
    return deadline.made(
        _blocks(path),
        lambda found: _document(*found, reading, path.name),
        lambda found: _where(found[0]),
        reading.document_seconds,
    )


def _document(line: int, block: list[bytes], reading: Reading, name: str) -> Document | Skipped:
    try:
        lines = b"\n".join(block).decode().split("\n")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 (byte {error.object[error.start]:#04x}); convert the file to UTF-8"
        return Skipped(_where(line), reason)
    return Document(reading.source, f"{name}:{line}", "", lines)


def _where(line: int) -> str:
    return f"line {line}"


def _blocks(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Yield runs of lines without a blank one, with the number of the first line of the document, counted from 1."""
    block: list[bytes] = []
    first = size = 0
    for number, line in _lines(path):
        if block and (not line or size + len(line) > PART_BYTES):
            yield first, block
            block, size = [], 0
        if line:
            block.append(line)
            size += len(line)
        first = (first or number) if line else 0
    if block:
        yield first, block


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield lines without the blanks around them, with their numbers; of many blank ones in a row perhaps but one."""
    number = 1
    broken = False  # whether words of this line were yielded already
    with files.opened(path) as stream:
        for run in runs(files.chunks(stream), b"\n", _too_long):
            if run.isspace() and not broken:
                if b"\n" in run:
                    yield number, b""
                number += run.count(b"\n")
                continue
            *whole, rest = run.removeprefix(BOM if number == 1 else b"").split(b"\n")
            for line in whole:
                bare = line.strip()
                if bare or not broken:
                    yield number, bare
                broken = False
                number += 1
            if rest.strip():
                yield number, rest.strip()
                broken = True


def _too_long(held: bytearray) -> int:
    """Break a line that is longer than a part."""
    return break_at(bytes(held[:PART_BYTES])) if len(held) > PART_BYTES else 0


SOURCE = Source("Plain text files: a blank line between documents, each line a paragraph.", find, read)
