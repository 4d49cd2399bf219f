"""Plain text: a blank line between documents, a line a paragraph."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.text.clean import paragraphs
from pipeline.text.sources import files
from pipeline.text.sources.document import Document, Reading, Skipped, Source

BOM = b"\xef\xbb\xbf"


def find(path: Path) -> list[Path]:
    """List the text files under a path."""
    return files.find(path, r"\.txt(\.gz)?$|^[^.]+\.gz$", "text file (.txt, .txt.gz)")


def read(path: Path, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the documents of a text file; one that is not UTF-8 is skipped."""
    for line, block in _blocks(path):
        try:
            lines = b"\n".join(block).decode().split("\n")
        except UnicodeDecodeError as error:
            yield Skipped(
                f"line {line}", f"not UTF-8 (byte {error.object[error.start]:#04x}); convert the file to UTF-8"
            )
            continue
        yield Document(reading.source, f"{path.name}:{line}", "", paragraphs(lines))


def _blocks(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Yield runs of lines without a blank one, with the number of the first line, counted from 1."""
    block: list[bytes] = []
    number = 0
    with files.opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            bare = (line.removeprefix(BOM) if number == 1 else line).strip()
            if bare:
                block.append(bare)
            elif block:
                yield number - len(block), block
                block = []
    if block:
        yield number - len(block) + 1, block


SOURCE = Source("Plain text files: a blank line between documents, each line a paragraph.", find, read)
