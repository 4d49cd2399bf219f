"""Which encoding a text file of unknown origin is in: UTF-8 if it can be, else what it says or what is likely."""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from encodings import normalize_encoding
from encodings.aliases import aliases
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
LATIN_PARTS = (*range(2, 12), *range(13, 17))
WEB = frozenset(
    {
        *(
            "ascii",
            "utf_8",
            "utf_16",
            "utf_16_be",
            "utf_16_le",
            "latin_1",
            *(f"iso8859_{part}" for part in LATIN_PARTS),
        ),
        *("koi8_r", "koi8_u", "mac_roman", "mac_cyrillic", "tis_620", "cp866", "cp874"),
        *(f"cp{page}" for page in range(1250, 1259)),
        *("gb2312", "gbk", "gb18030", "big5", "big5hkscs"),
        *("euc_jp", "iso2022_jp", "shift_jis", "cp932", "euc_kr", "cp949"),
    }
)
"""Python's names of what browsers read (encoding.spec.whatwg.org). Others of its codecs are no encodings of text, or take time by the
square of its length, as punycode does."""
DOS = frozenset({"cp437", "cp850"})
"""What books of the early nineties may declare besides."""
READ_AS = {
    "ascii": "cp1252",
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
"""Encodings that browsers take for a larger one, since pages that declare them are often in that."""
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


def of_the_web(label: str) -> str | None:
    """Name the codec that reads pages whose encoding is labelled so; None if browsers know no such label."""
    name = _codec(label)
    return READ_AS.get(name, name) if name in WEB else None


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
    name = _codec(match[1].decode()) if match else ""
    if name not in WEB | DOS or name in ("utf_8", "ascii"):  # the last two were tried, and are wrong
        return ()
    return WESTERN if name in ("latin_1", "cp1252") else (name, *WESTERN)


def _codec(label: str) -> str:
    """Name what Python might call an encoding, without asking it, since it would run any module of that name."""
    name = normalize_encoding(label.lower()).removeprefix("x_")
    return aliases.get(name, name.replace("windows_", "cp"))


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
