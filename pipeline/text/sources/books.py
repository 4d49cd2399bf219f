"""Books: one plain-text file each, in whatever encoding and layout the last fifty years left it."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.text.sources import charset, deadline, files, gutenberg, layout
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span
from pipeline.text.sources.errors import CutError

PIECE_CHARACTERS = 1 << 23
"""A longer book comes in several documents, so that memory does not grow with it; War and Peace has 3 million."""
BLANK_LINES = ("\n\n", "\r\n\r\n", "\r\r")
ENDINGS = re.compile(r"(\.txt)?(\.bz2)?(\.gz)?$", re.IGNORECASE)
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
    size = 0
    for chunk in file.chunks():
        read.append(chunk)
        size += len(chunk)
        if size > PIECE_CHARACTERS:
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


def _documents(path: Path, reading: Reading, pieces: Iterable[tuple[str, bool]]) -> Iterator[Document | Skipped]:
    """Make a document of each book, or of each piece of a long one, as long as each is made in time."""
    name = ENDINGS.sub("", path.name)
    from pipeline.text.sources import ordinary

    ordinary.prepare()
    books = _Books(reading.source, " ".join(name.replace("_", " ").split()))
    where = f"file {path.name!r}, from here on"
    for piece, final in pieces:
        for found in deadline.until_late(books.taken(piece, final=final), where, reading.document_seconds):
            if isinstance(found, Skipped):
                yield from books.waiting()
                yield found
                return
            yield found


class _Books:
    """Makes documents of a text that comes in pieces."""

    def __init__(self, source: str, name: str) -> None:
        self._source = source
        self._name = name
        self._unframer = gutenberg.Unframer()
        self._paragraphs = layout.Paragraphs(0, layout.NOBODY)
        self._done: Document | None = None
        """The last one, whose last paragraph may yet come."""

    def taken(self, piece: str, *, final: bool) -> Iterator[Document]:
        """Yield what is a whole document with this piece; after the final one there is at least one."""
        for part in self._unframer.take(piece, final=final):
            if part.begins:
                self._end()
                foreign = TYPISTS if part.framed else layout.NOBODY
                self._paragraphs = layout.Paragraphs(layout.wrap_width(part.body), foreign)
            yield from self.waiting()
            written = self._paragraphs.take(part.body)
            self._paragraphs.left_out["boilerplate"] += part.frames
            left_out, self._paragraphs.left_out = +self._paragraphs.left_out, Counter()
            self._done = Document(self._source, part.title or self._name, part.url, written, left_out)
        if final:
            self._end()
            yield self._done or Document(self._source, self._name, "", [])

    def waiting(self) -> Iterator[Document]:
        """Yield the document that is held back, if there is one."""
        done, self._done = self._done, None
        if done:
            yield done

    def _end(self) -> None:
        if self._done:
            self._done.paragraphs.extend(self._paragraphs.rest())


SOURCE = Source(
    "A folder of books in plain text (.txt, .txt.gz), one book a file, Project Gutenberg's among them.", find, read
)
