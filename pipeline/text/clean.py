"""Text in one form: the same words are the same characters, whichever file they came from."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

# Everything that is drawn as nothing or steers the drawing: controls, soft hyphen, zero-width space, word joiner, bidi marks,
# byte order mark, tags, and lone surrogates, which no UTF-8 file can hold. U+200C and U+200D stay: Persian, Indic scripts
# and emoji are spelled with them.
INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0001\U000e0020-\U000e007f\ud800-\udfff]"
)
# Beyond these blocks a character may be a space, invisible, or compose with its neighbours.
UNSURE = re.compile(
    "[^\xa1-\xac\xae-\u02ff\u038e-\u03a1\u03a3-\u03ff\u0400-\u0482\u048a-\u04ff\u2010-\u2027\u2030-\u205e\u1e00-\u1eff\u20a0-\u20bf\u2190-\u22ff\u3041-\u3096\u4e00-\u9fff]"
)
ASCII = bytes(range(0x80))
SEPARATOR = "\0"
MARKS_IN_A_ROW = 30
LONG_WORD = re.compile("[\u0300-\U0001ffff]{31,}")
"""What a long run of combining marks is part of; found forty times as fast as the run itself."""
BATCH = 32_000
"""Characters that are normalised in one go: they stay in the processor's cache, and one odd paragraph slows only its batch."""
SMALL = 200
"""Characters; below it, paragraphs one by one are as fast, and nothing needs to be compiled for them."""


def normalise(text: str) -> str:
    """Bring a paragraph to NFC with single plain spaces, no line breaks and nothing invisible; dashes stay as they are.

    Applying it twice changes nothing more.
    """
    text = text.replace("\n", " ")
    while "  " in text:  # twice as fast as splitting into words and joining them
        text = text.replace("  ", " ")
    text = text.strip(" ")
    if not text.isprintable():  # 3 times faster than looking for INVISIBLE in every text
        text = " ".join(INVISIBLE.sub("", " ".join(text.split())).split())
    return text if text.isascii() else composed(text)


def composed(text: str) -> str:
    """Bring a text to NFC, runs of combining marks cut to the 30 of Unicode's stream-safe format (UAX 15, section 13).

    To order a run takes the square of its length in a loop that no time limit interrupts; no writing needs more than a few.
    """
    if any(map(_has_mark, LONG_WORD.findall(text))):
        text = _long_runs().sub(lambda run: run[0][:MARKS_IN_A_ROW], text)
    return unicodedata.normalize("NFC", text)


def _has_mark(word: str) -> bool:
    """Tell whether any of the 31st, 62nd ... characters is a combining mark: of a longer run of them one is."""
    return any(map(unicodedata.combining, word[MARKS_IN_A_ROW :: MARKS_IN_A_ROW + 1]))


@cache
def _long_runs() -> re.Pattern[str]:
    """Find more combining marks in a row than are kept; made when the first text beyond plain Latin is met."""
    marks = "".join(map(chr, filter(lambda code: unicodedata.combining(chr(code)), range(0x300, 0x20000))))
    return re.compile(f"[{re.escape(marks)}]{{{MARKS_IN_A_ROW + 1},}}")


def paragraphs(texts: Sequence[str]) -> list[str]:
    """Normalise each paragraph of a document as `normalise` does, and drop those of which nothing is left."""
    if len(texts) == 1:
        return list(filter(None, _normalised(texts)))
    kept: list[str] = []
    for batch in batches(texts, BATCH):
        kept += filter(None, _normalised(batch))
    return kept


def batches(texts: Iterable[str], most: int) -> Iterator[list[str]]:
    """Put texts together, in order, until each batch but the last has more than `most` characters."""
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters > most:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _normalised(texts: Sequence[str]) -> list[str]:
    """Normalise paragraphs by one look at their bytes, or one by one if they are few or hold anything unusual."""
    stripped = [text.strip("\n ") for text in texts]
    coded = SEPARATOR.join(stripped).encode("utf-8", "surrogatepass")
    if len(coded) < SMALL or not _plain(coded):
        return [normalise(text) for text in texts]
    unbroken = coded.replace(b"\n", b" ")
    tidy = _tidied()(unbroken, len(texts))
    if tidy is None:
        return [normalise(text) for text in texts]
    return stripped if tidy is coded else tidy.decode().split(SEPARATOR)


@cache
def _tidied() -> Callable[[bytes, int], bytes | None]:
    """Load what is compiled when there is something to look at, and once: even to import it again takes longer than a look."""
    from pipeline.text.tidying import tidied

    return tidied


def _plain(coded: bytes) -> bool:
    """Tell that a text has nothing beyond ASCII that would be changed."""
    return coded.isascii() or not UNSURE.search(coded.translate(None, ASCII).decode("utf-8", "surrogatepass"))
