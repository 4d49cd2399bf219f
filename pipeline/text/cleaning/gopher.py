"""The quality rules of Gopher for a page of the web, by their names and thresholds.

What the paper calls a line is here a paragraph. Made for pages of English: most novels are longer than a page may be.

Source: Rae et al. 2021, Scaling Language Models (Gopher), appendix A.1.1, "Quality filtering"
"""

from collections import Counter
from collections.abc import Iterator

from pipeline.text.clean import paragraphs
from pipeline.text.cleaning.step import CleaningStep, Drops, Settings, kept
from pipeline.text.sources.document import Document

WORDS = (50, 100_000)
MEAN_WORD_LENGTH = (3, 10)
MOST_SYMBOLS = 0.1
"""Hash signs a word, and ellipses a word."""
MOST_BULLETS = 0.9
MOST_ELLIPSES = 0.3
LEAST_ALPHABETIC = 0.8
STOP_WORDS = frozenset(["the", "be", "to", "of", "and", "that", "have", "with"])
LEAST_STOP_WORDS = 2
ELLIPSES = ("...", "…")
BULLETS = ("•", "‣", "◦", "⁃", "∙", "▪", "●", "*", "-")


def of_quality(documents: Iterator[Document], settings: Settings, drops: Drops) -> Iterator[Document]:
    """Leave out documents that break one of Gopher's rules; the rule of stop words is for English only."""
    return kept(documents, "gopher_quality", drops, lambda document: _fault(document, settings.language))


def _fault(document: Document, language: str) -> str | None:
    lines = paragraphs(document.paragraphs)
    text = "\n".join(lines)
    words = text.split()
    if not WORDS[0] <= len(words) <= WORDS[1]:
        return f"fewer than {WORDS[0]} words" if len(words) < WORDS[0] else f"more than {WORDS[1]} words"
    return _fault_of_lines(text, lines, len(words)) or _fault_of_words(words, language)


def _fault_of_lines(text: str, lines: list[str], words: int) -> str | None:
    if text.count("#") > MOST_SYMBOLS * words:
        return "too many hash signs"
    if sum(map(text.count, ELLIPSES)) > MOST_SYMBOLS * words:
        return "too many ellipses"
    if sum(line.startswith(BULLETS) for line in lines) > MOST_BULLETS * len(lines):
        return "too many lines begin with a bullet"
    if sum(line.endswith(ELLIPSES) for line in lines) > MOST_ELLIPSES * len(lines):
        return "too many lines end with an ellipsis"
    return None


def _fault_of_words(words: list[str], language: str) -> str | None:
    counts = Counter(words)
    mean = sum(map(len, words)) / len(words)
    if not MEAN_WORD_LENGTH[0] <= mean <= MEAN_WORD_LENGTH[1]:
        return "mean word shorter than 3 letters" if mean < MEAN_WORD_LENGTH[0] else "mean word longer than 10 letters"
    if sum(count for word, count in counts.items() if _alphabetic(word)) < LEAST_ALPHABETIC * len(words):
        return "too few words with a letter"
    if language == "en" and len(STOP_WORDS.intersection(map(str.lower, counts))) < LEAST_STOP_WORDS:
        return "too few stop words"
    return None


def _alphabetic(word: str) -> bool:
    return word.isalpha() or any(map(str.isalpha, word))


STEP = CleaningStep("Leave out documents that break the quality rules of Gopher, such as too few words.", of_quality)
