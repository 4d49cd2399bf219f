"""Text that was decoded wrongly somewhere on its way, put right: "cafÃ©" is "café" again.

Of what ftfy can do, only what mends an accident is wanted. Quotes stay curly, widths and compatibility characters stay: they are
how the text was written, BERT's tokenizers split curly and straight quotes alike, and a model should meet them as its users
write them. Entities, line breaks and controls are the affair of the readers and of the last normalisation.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from pipeline.text.cleaning.step import CleaningStep, Drops, Settings
from pipeline.text.sources.document import Document

if TYPE_CHECKING:
    import numpy as np
    from ftfy import TextFixerConfig
    from numpy.typing import NDArray

ODD = "\x80-\x9fĲĳŉ\u01c4-\u01cc\u01f1-\u01f3\ud800-\udfff\ufb00-\ufb06"
"""What ftfy changes wherever it is: controls of Latin-1, ligatures, halves of surrogate pairs."""
CHANGED_ALONE = re.compile(f"[{ODD}]|\n[ÂÃ] ")
ALONE = f"[ÂÃŒœ{ODD}]"
"""What is suspicious whatever stands beside it."""
SMALL = 4_000
"""Characters in paragraphs that are not ASCII; below it, nothing is compiled for them."""


def repaired(documents: Iterator[Document], settings: Settings, drops: Drops) -> Iterator[Document]:
    """Mend the encoding of what needs it; no document is left out."""
    for document in documents:
        if all(map(str.isascii, document.paragraphs)):
            yield document
            continue
        broken = places_to_mend(document.paragraphs)
        yield document._replace(paragraphs=_mended_at(document.paragraphs, broken)) if broken else document


def places_to_mend(texts: Sequence[str]) -> list[int]:
    """Give the places of the texts that may need repair."""
    beyond = [place for place, text in enumerate(texts) if not text.isascii()]
    if sum(len(texts[place]) for place in beyond) > SMALL:
        from pipeline.text.cleaning.neighbours import close_or_odd

        beyond = [beyond[at] for at in close_or_odd([texts[place] for place in beyond], odd())]
    return [place for place in beyond if may_need_repair(texts[place])]


def _mended_at(texts: Sequence[str], places: list[int]) -> list[str]:
    made = list(texts)
    for place in places:
        made[place] = mended(texts[place])
    return made


def may_need_repair(text: str) -> bool:
    """Tell quickly whether ftfy could change a text: never False if it would."""
    if text.isascii() or not suspicious().search(text):
        return False
    from ftfy.badness import is_bad

    return is_bad(text) or CHANGED_ALONE.search(text) is not None


@cache
def suspicious() -> re.Pattern[str]:
    """Give what is found in every text that ftfy would change, and is looked for far faster than ftfy does.

    ftfy counts pairs of characters as bad that hold a symbol, an accented capital in second place, or one of a few others. That
    the pattern begins with one class of characters makes the search five times faster.
    """
    from ftfy.badness import MOJIBAKE_CATEGORIES as KINDS

    names = ("bad", "law", "currency", "start_punctuation", "end_punctuation", "numeric", "box")
    symbols = "°" + "".join([KINDS[name] for name in names])
    alone = f"(?<={ALONE})"
    pairs = (
        f"(?<=[{symbols}])[^\0-\x7f]|[{symbols}{KINDS['upper_accented']}Ђ]|(?<=[ÎÐ])[šž]|(?<=[ØÙÎÐ])[{KINDS['common']}]"
    )
    return re.compile(f"[^\0-\x7f](?:{alone}|{pairs})")


@cache
def odd() -> "NDArray[np.bool_]":
    """Tell of every character below U+10000 whether it is suspicious alone; any other is so only beside one beyond ASCII."""
    import numpy as np

    alone_V = np.zeros(1 << 16, np.bool_)
    alone_V[[found.start() for found in re.finditer(ALONE, "".join(map(chr, range(1 << 16))))]] = True
    return alone_V


def mended(text: str) -> str:
    """Mend one text, however slowly."""
    import ftfy

    return ftfy.fix_text(text, options())


@cache
def options() -> "TextFixerConfig":
    """Say what ftfy may change."""
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        unescape_html=False,
        uncurl_quotes=False,
        fix_character_width=False,
        fix_line_breaks=False,
        remove_terminal_escapes=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )


STEP = CleaningStep("Mend text that was decoded wrongly, with ftfy.", repaired)
