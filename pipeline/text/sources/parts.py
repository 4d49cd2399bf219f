"""Very long documents in parts, so that what follows holds a part of one in memory and no more."""

from collections.abc import Iterable, Iterator

from pipeline.text.sources.document import Document, Skipped

PART_BYTES = 8_000_000
"""Of UTF-8. The longest novels have 4 MB, so that a whole book is one document."""
LONGEST_CHARACTER = 4
"""Bytes of UTF-8."""


def in_parts(found: Iterable[Document | Skipped]) -> Iterator[Document | Skipped]:
    """Hand on documents, those of more than PART_BYTES in several, in order, each with the same title.

    A part ends between two paragraphs; only a paragraph that is too long by itself is split, at a space if it has one.
    What was left out of a document is told with its first part.
    """
    for document in found:
        if isinstance(document, Skipped) or _surely_short(document.paragraphs):
            yield document
            continue
        left_out = document.left_out
        for paragraphs in _parts(document.paragraphs):
            yield document._replace(paragraphs=paragraphs, left_out=left_out)
            left_out = {}


def pieces(paragraph: bytes, most: int) -> Iterator[bytes]:
    """Cut UTF-8 into pieces of at most so many bytes, after a space or at least between two characters."""
    begin = 0
    while len(paragraph) - begin > most:
        end = begin + break_at(paragraph[begin : begin + most])
        yield paragraph[begin:end]
        begin = end
    yield paragraph[begin:]


def break_at(text: bytes) -> int:
    """Say where to break UTF-8 that goes on: after its last space, or before a character that may not be whole."""
    space = text.rfind(b" ") + 1
    if space:
        return space
    end = len(text)
    while end > len(text) - LONGEST_CHARACTER and text[end - 1] & 0xC0 == 0x80:  # continues a character
        end -= 1
    return end - 1 if end > 1 else len(text)


def _surely_short(paragraphs: list[str]) -> bool:
    characters = sum(map(len, paragraphs))
    return characters * LONGEST_CHARACTER <= PART_BYTES


def _parts(paragraphs: list[str]) -> Iterator[list[str]]:
    """Group paragraphs, in order, into lists of at most PART_BYTES."""
    part: list[str] = []
    size = 0
    for paragraph in paragraphs:
        for text, length in _short(paragraph):
            if part and size + length > PART_BYTES:
                yield part
                part, size = [], 0
            part.append(text)
            size += length
    if part:
        yield part


def _short(paragraph: str) -> Iterator[tuple[str, int]]:
    """Yield a paragraph with its length in bytes, or several pieces of it; lone surrogates are left as they are."""
    if len(paragraph) * LONGEST_CHARACTER <= PART_BYTES:
        yield paragraph, len(paragraph) if paragraph.isascii() else len(paragraph.encode("utf-8", "surrogatepass"))
        return
    for piece in pieces(paragraph.encode("utf-8", "surrogatepass"), PART_BYTES):
        yield piece.decode("utf-8", "surrogatepass"), len(piece)
