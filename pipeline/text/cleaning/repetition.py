"""The repetition rules of Gopher: lines or phrases that come again and again.

A line is here a paragraph, so the paper's rules for lines and for paragraphs, which have the same thresholds, are one. Of what is
repeated, every occurrence but the first counts; letters are counted without spaces.

Source: Rae et al. 2021, Scaling Language Models (Gopher), appendix A.1.1, "Repetition removal", table A1
"""

from collections.abc import Iterator

from pipeline.text.clean import paragraphs
from pipeline.text.cleaning.step import CleaningStep, Drops, Settings, kept
from pipeline.text.sources.document import Document

REPEATED_LINES = 0.30
"""The share of lines, and below of letters, above which a document is left out."""
LETTERS_IN_REPEATED_LINES = 0.20
LETTERS_IN_TOP_PHRASE = {2: 0.20, 3: 0.18, 4: 0.16}
"""By words of the phrase: letters in all occurrences of the commonest one."""
LETTERS_IN_REPEATED_PHRASES = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}


def unrepetitive(documents: Iterator[Document], settings: Settings, drops: Drops) -> Iterator[Document]:
    """Leave out documents in which too much is repeated."""
    return kept(documents, "gopher_repetition", drops, _fault)


def _fault(document: Document) -> str | None:
    lines = paragraphs(document.paragraphs)
    return _fault_of_lines(lines) or _fault_of_phrases("\n".join(lines)) if lines else None


def _fault_of_lines(lines: list[str]) -> str | None:
    once = set(lines)
    if len(lines) - len(once) > REPEATED_LINES * len(lines):
        return "too many repeated lines"
    letters = sum(map(len, lines))
    if letters - sum(map(len, once)) > LETTERS_IN_REPEATED_LINES * letters:
        return "too many letters in repeated lines"
    return None


def _fault_of_phrases(text: str) -> str | None:
    from pipeline.text.cleaning.phrases import shares

    top, repeated = shares(text, max(LETTERS_IN_REPEATED_PHRASES))
    for words, most in LETTERS_IN_TOP_PHRASE.items():
        if top[words] > most:
            return f"one phrase of {words} words too often"
    for words, most in LETTERS_IN_REPEATED_PHRASES.items():
        if repeated[words] > most:
            return f"too many letters in repeated phrases of {words} words"
    return None


STEP = CleaningStep("Leave out documents that break the repetition rules of Gopher.", unrepetitive)
