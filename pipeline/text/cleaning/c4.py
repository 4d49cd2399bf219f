"""The rules of C4 for a page of the web, by name.

What the paper calls a line is here a paragraph. Two of its rules are not here: the list of bad words (not ours to distribute)
and the removal of repeated spans of three sentences (near-duplicates are removed later).

Source: Raffel et al. 2020, Exploring the Limits of Transfer Learning (T5), section 2.2; citation marks and policy notices there too.
"""

import re
from collections import Counter
from collections.abc import Iterator

from pipeline.text.clean import paragraphs
from pipeline.text.cleaning.step import CleaningStep, Drops, Settings
from pipeline.text.sentences import split
from pipeline.text.sources.document import Document

LEAST_LINE_WORDS = 5
LEAST_SENTENCES = 3
TERMINAL = (".", "!", "?", '"', "”", "’", "'", "。", "！", "？", "」", "।")
"""The paper names a full stop, an exclamation mark, a question mark and an end quotation mark; others scripts have their own."""
CITATION = re.compile(r"\[(?:\d{1,4}|edit|citation needed)\]", re.IGNORECASE)
POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


def of_quality(documents: Iterator[Document], settings: Settings, drops: Drops) -> Iterator[Document]:
    """Drop lines that are no prose from documents, and leave out documents that are code, placeholder or too little.

    The lines dropped are counted in `Document.left_out`, by rule.
    """
    for document in documents:
        left_out: Counter[str] = Counter()
        page = paragraphs(document.paragraphs)
        lines = [line for line in map(_uncited, page) if _is_prose(line, left_out)]
        fault = _fault(page) or _too_little(lines, settings.language)
        if fault is None:
            yield document._replace(paragraphs=lines, left_out=Counter(document.left_out) + left_out)
        else:
            drops["c4_quality", fault] += 1


def _uncited(line: str) -> str:
    return CITATION.sub("", line).strip() if "[" in line else line


def _is_prose(line: str, left_out: Counter[str]) -> bool:
    fault = _fault_of_line(line)
    if fault is not None:
        left_out[fault] += 1
    return fault is None


def _fault_of_line(line: str) -> str | None:
    if not line.endswith(TERMINAL) or line.endswith("..."):
        return "lines without terminal punctuation"
    if len(line.split(None, LEAST_LINE_WORDS)) < LEAST_LINE_WORDS:
        return f"lines shorter than {LEAST_LINE_WORDS} words"
    lower = line.lower()
    if "javascript" in lower:
        return "lines that name javascript"
    return "lines about policies" if _names_policy(lower) else None


def _names_policy(lower: str) -> bool:
    if "cookie" not in lower and "policy" not in lower and "terms" not in lower:  # three looks instead of six
        return False
    return any(policy in lower for policy in POLICIES)


def _fault(page: list[str]) -> str | None:
    if any("{" in line for line in page):
        return "curly bracket"
    return "lorem ipsum" if any("lorem ipsum" in line.lower() for line in page) else None


def _too_little(lines: list[str], language: str) -> str | None:
    sentences = 0
    for line in lines:
        sentences += len(split(line, language))
        if sentences >= LEAST_SENTENCES:
            return None
    return f"fewer than {LEAST_SENTENCES} sentences"


STEP = CleaningStep(
    "Drop lines that are no prose and leave out documents by the rules of C4, such as lorem ipsum.", of_quality
)
