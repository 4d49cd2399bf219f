"""Books: one plain-text file each, in whatever encoding and layout the last fifty years left it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.text.sources import charset, files, gutenberg, layout
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span
from pipeline.text.sources.errors import CutError

PIECE_CHARACTERS = 1 << 23
"""A longer book comes in several documents, so that memory does not grow with it; War and Peace has 3 million."""
BLANK_LINES = ("\n\n", "\r\n\r\n", "\r\r")
LINE_ENDS = (".\n", ".\r\n", "\n", "\r")
TYPISTS = layout.Foreign(gutenberg.is_note, gutenberg.NOTE_WORDS, gutenberg.CREDITED_PARAGRAPHS)


@dataclass
class _File:
    """The bytes of a book; with `keep`, one that is cut simply ends there, and `cut` tells of it."""

    path: Path
    keep: bool
    cut: CutError | None = None

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes from the beginning, as often as it is asked to."""
        try:
            with files.opened(self.path) as stream:
                yield from files.chunks(stream)
        except CutError as error:
            if not self.keep:
                raise
            self.cut = error


def find(path: Path, split: str) -> list[Path]:
    """List the books under a path."""
    return files.find(path, r"\.txt(\.gz|\.bz2)?$", "book (.txt, .txt.gz, .txt.bz2)")


def read(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    """Read one book; Project Gutenberg's headers, licences and credits are left out.

    Raises: DataError if the file is damaged, or cut and not to be kept.
    """
    return files.whole_or_kept(_book(path, reading), reading)


def _book(path: Path, reading: Reading) -> Iterator[Document | Skipped]:
    file = _File(path, keep=reading.truncated == "keep")
    chunks = _remembered(file)
    encoding = charset.detect(chunks)
    if encoding is None:
        yield Skipped(
            f"file {path.name!r}", "not text in UTF-8, UTF-16, cp1252 or any encoding that could be recognised"
        )
        return
    yield from _documents(path, reading, _pieces(charset.decoded(chunks(), encoding)))
    if file.cut:
        raise file.cut


def _remembered(file: _File) -> charset.Chunks:
    """Read a small file once for all; a large one is read each time."""
    read: list[bytes] = []
    for chunk in file.chunks():
        read.append(chunk)
        if sum(map(len, read)) > PIECE_CHARACTERS:
            return file.chunks
    whole = b"".join(read)
    return lambda: [whole]


def _pieces(texts: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Join a text to pieces that end at blank lines, if there are any, and say of each whether it is the last one."""
    pending = ""
    for text in texts:
        pending += text
        if len(pending) > PIECE_CHARACTERS:
            end = _cut(pending)
            yield _plain_lines(pending[:end]), False
            pending = pending[end:]
    yield _plain_lines(pending), True


def _cut(text: str) -> int:
    ends = [
        text.rfind(mark, len(text) // 2) + len(mark) for mark in BLANK_LINES if text.find(mark, len(text) // 2) >= 0
    ]
    if ends:
        return max(ends)
    return next((at + len(end) for end in LINE_ENDS if (at := text.rfind(end, 0, -1)) >= 0), len(text))


def _plain_lines(text: str) -> str:
    """Let lines end with "\n" where they end with "\r"; that of "\r\n" goes with the other space at line ends."""
    return text if "\n" in text else text.replace("\r", "\n")


def _documents(path: Path, reading: Reading, pieces: Iterable[tuple[str, bool]]) -> Iterator[Document]:
    """Make a document of each book, or of each piece of a long one."""
    unframer = gutenberg.Unframer()
    written: list[str] = []
    done: Document | None = None
    paragraphs = layout.Paragraphs(0, layout.NOBODY)
    for piece, final in pieces:
        for part in unframer.take(piece, final=final):
            if part.begins:
                written.extend(paragraphs.rest())
                foreign = TYPISTS if part.framed else layout.NOBODY
                paragraphs = layout.Paragraphs(layout.wrap_width(part.body), foreign)
            if done:
                yield done
            written = paragraphs.take(part.body)
            paragraphs.left_out["boilerplate"] += part.frames
            left_out, paragraphs.left_out = +paragraphs.left_out, Counter()
            done = Document(reading.source, part.title or _name(path), part.url, written, left_out)
    written.extend(paragraphs.rest())
    yield done or Document(reading.source, _name(path), "", written)


def _name(path: Path) -> str:
    name = path.name.removesuffix(".gz").removesuffix(".bz2").removesuffix(".txt")
    return " ".join(name.replace("_", " ").split())


SOURCE = Source(
    "A folder of books in plain text (.txt, .txt.gz), one book a file, Project Gutenberg's among them.", find, read
)
