"""Sentence borders, by the rules that Wikimedia keeps for 300 languages, and within quotations besides.

sentencex keeps a quotation whole, however many sentences it holds: in novels it misses two borders of three. In English, where
this was measured (docs/cleaning.md), it is therefore shown a copy of the same length in which quotation marks are blank.
"""

import re
from collections.abc import Sequence
from itertools import accumulate, chain

NEUTRAL = "_"
"""Stands for a mark that closes after `?`, `!` or a word: sentencex then finds no border between it and `he asked`."""
BLANK = dict.fromkeys(("", " ", ".", "(", "[", "-", "—"), " ")
"""What a mark becomes after these: one that opens, and one that closes after a full stop."""
MARKS = "\"“”‘’'"
ONE = re.compile('[^.!?\n\u0100-\u2011\u2015-\u2017\u201a\u201b\u201e-\U0010ffff]*+[.!?]?+["”’]?+')
"""What surely is one sentence, in Latin letters, dashes and quotation marks: a third of a novel's paragraphs, and a call of
sentencex costs more than this."""
LONGEST = 20_000
"""Characters: 20,000 opening marks that nothing closes take sentencex a third of a second, and twice as many four times as long."""
MOST_MARKS = 3
"""How many marks side by side are looked at: without a limit, a long text without spaces would take the square of its length."""


def split(paragraph: str, language: str = "en") -> list[str]:
    """Split a normalised paragraph into sentences: each stripped, none empty, no character lost but spaces.

    `language` is a code of ISO 639; one without rules of its own is split by the general rules.

    Source: sentencex, https://github.com/wikimedia/sentencex
    """
    return split_all([paragraph], language)


def split_all(paragraphs: Sequence[str], language: str) -> list[str]:
    """Split the paragraphs of a document into its sentences, as `split` does each."""
    from sentencex import segment

    fits = max(map(len, paragraphs), default=0) <= LONGEST
    texts = paragraphs if fits else list(chain.from_iterable(map(_stretches, paragraphs)))
    sentences: list[str] = []
    for text in texts:
        if language != "en":
            sentences += map(str.strip, segment(language, text))
        elif ONE.fullmatch(text):
            sentences.append(text.strip())
        else:
            shown = _unquoted(text)
            parts = segment("en", shown)
            sentences += map(str.strip, parts if shown is text else _as_cut(text, parts))
    return list(filter(None, sentences))


def _stretches(text: str) -> list[str]:
    """Cut a text that is too long for sentencex after a full stop, else at a space, else anywhere."""
    stretches: list[str] = []
    begin = 0
    while len(text) - begin > LONGEST:
        limit = begin + LONGEST
        end = text.rfind(". ", begin, limit) + 1 or text.rfind(" ", begin, limit) + 1 or limit
        stretches.append(text[begin:end])
        begin = end
    return [*stretches, text[begin:]]


def _as_cut(text: str, parts: list[str]) -> list[str]:
    """Cut a text where its copy without quotation marks was cut: opening marks go right, closing ones left."""
    cuts: list[str] = []
    begin = 0
    for end in accumulate(map(len, parts[:-1])):
        if text[end - 1] != " ":
            space = text.rfind(" ", max(begin, end - 1 - MOST_MARKS), end)
            if space < 0 or text[space + 1 : end].strip(MARKS):  # no space stands here: `"Go."--and`, `"Why?" he asked`
                continue
            end = space + 1
        cuts.append(text[begin:end])
        begin = end
    cuts.append(text[begin:])
    return cuts


def _unquoted(text: str) -> str:
    """Blank quotation marks, one character for one; give the same object if there are none."""
    if '"' in text:
        return _blanked(text, '"')
    if "“" in text or "”" in text:
        return _blanked(text.replace("“", " "), "”")
    if "‘" in text:
        return text.replace("‘", " ").replace(".’ ", ".  ").replace("’ ", NEUTRAL + " ")
    if "'" in text and (text[0] == "'" or " '" in text):
        text = text.replace(" '", "  ").replace(".' ", ".  ").replace("' ", NEUTRAL + " ")
        return " " + text[1:] if text[0] == "'" else text
    return text


def _blanked(text: str, mark: str) -> str:
    *pieces, rest = text.split(mark)
    return "".join([piece + BLANK.get(piece[-1:], NEUTRAL) for piece in pieces]) + rest
