"""Text in one form: the same words are the same characters, whichever file they came from."""

import re
import unicodedata
from collections.abc import Iterable

# Everything that is drawn as nothing or steers the drawing: controls, soft hyphen, zero-width space, word joiner, bidi marks,
# byte order mark, tags, and lone surrogates, which no UTF-8 file can hold. U+200C and U+200D stay: Persian, Indic scripts
# and emoji are spelled with them.
INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0001\U000e0020-\U000e007f\ud800-\udfff]"
)


def normalise(text: str) -> str:
    """Bring a paragraph to NFC with single plain spaces, no line breaks and nothing invisible; dashes stay as they are.

    Applying it twice changes nothing more.
    """
    text = " ".join(text.split())
    if not text.isprintable():  # 3 times faster than looking for INVISIBLE in every text
        text = " ".join(INVISIBLE.sub("", text).split())
    return unicodedata.normalize("NFC", text)


def paragraphs(texts: Iterable[str]) -> list[str]:
    """Normalise paragraphs and drop those of which nothing is left."""
    return [clean for text in texts if (clean := normalise(text))]
