"""Which encoding a text file of unknown origin is in: UTF-8 if it can be, else what it says or what is likely."""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import dropwhile

DECLARED = re.compile(rb"^Character set encoding:[ \t]*([\w-]+)", re.MULTILINE)
HEADER_BYTES = 20_000
BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
WESTERN = ("cp1252", "latin-1")
"""In this order: cp1252 reads what Latin-1 reads and dashes and quotes besides; Latin-1 reads every byte."""
ASCII = bytes(range(0x80))
MARKS = b"\x82\x84\x85\x8b\x91\x92\x93\x94\x95\x96\x97\x9b\xa0\xab\xbb"
"""Quotes, dashes and spaces: the same in all of Windows' encodings, and all that is not ASCII in much English."""
SAMPLE_BYTES = 4 << 20
"""What the detector is shown, from the first chunk on that is not ASCII: a whole novel. Of 64 kB it knows too little."""

Chunks = Callable[[], Iterable[bytes]]
"""Gives the bytes of a file from its beginning, each time it is called."""


def detect(chunks: Chunks) -> str | None:
    """Name the encoding that decodes all of a file, which is never wholly in memory; None if there is none.

    Raises: what `chunks` raises.
    """
    head = _first(chunks(), HEADER_BYTES)
    marked = next((name for bom, name in BOMS.items() if head.startswith(bom)), "")
    if marked and _decodes(chunks(), marked):
        return marked
    if not marked.startswith(("utf-16", "utf-32")) and _decodes(chunks(), "utf-8"):
        return "utf-8"
    likely = _declared(head) or _guessed(_sample(chunks()))
    return next((name for name in likely if _decodes(chunks(), name)), None)


def decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Decode a file chunk by chunk.

    Raises: UnicodeDecodeError
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in chunks:
        yield decoder.decode(chunk)


def _decodes(chunks: Iterable[bytes], encoding: str) -> bool:
    """Tell whether all of a text decodes and holds no NUL; half a character at its very end may be where it was cut."""
    try:
        return not any("\0" in text for text in decoded(chunks, encoding))
    except UnicodeDecodeError:
        return False


def _declared(head: bytes) -> tuple[str, ...]:
    match = DECLARED.search(head)
    try:
        name = codecs.lookup(match[1].decode()).name if match else "utf-8"
        codecs.getincrementaldecoder(name)().decode(b"")
    except (LookupError, TypeError, ValueError):  # unknown, or no encoding of text, such as hex
        return ()
    if name in ("utf-8", "ascii"):  # these were tried, and are wrong
        return ()
    return WESTERN if name in ("iso8859-1", "cp1252") else (name, *WESTERN)


def _guessed(sample: bytes) -> tuple[str, ...]:
    """Prefer Western to what the detector likes best: it took a German novel (PG 2500) for Chinese."""
    if not sample.translate(None, ASCII + MARKS):
        return WESTERN
    from charset_normalizer import from_bytes

    likely = [match.encoding for match in from_bytes(sample)]
    if {"latin_1", "cp1252"} & set(likely):
        return WESTERN
    return tuple(likely[:1])


def _first(chunks: Iterable[bytes], count: int) -> bytes:
    first = bytearray()
    for chunk in chunks:
        first += chunk
        if len(first) >= count:
            break
    return bytes(first[:count])


def _sample(chunks: Iterable[bytes]) -> bytes:
    return _first(dropwhile(bytes.isascii, chunks), SAMPLE_BYTES)
