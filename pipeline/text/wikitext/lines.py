"""Lines into paragraphs: text lines join, blank lines and headings part them, list items stand alone."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Literal

ListItems = Literal["sentences", "all", "none"]

SENTENCE = re.compile(r"""^(?:\S+\s+){3}.*[.!?…][)\]"'”’»]*$|[。！？]""")
HEADING = re.compile(r"==|=[^=].*=$")
RULE = re.compile(r"----+")
HEADER_CELL = re.compile(r"!(?:\s|!|.*(?:!!|\|\||scope=|style=|colspan=|rowspan=))")
PICTURE_LINE = re.compile(r"(?:file|image):[^|\n]*\|", re.IGNORECASE)
TERM = re.compile(r"\s:|:\s")
HATNOTE = re.compile(
    r"(?:see|see also|main(?: article)?s?|for|for other|further(?: information)?|this (?:article|page) is about|not to be confused|if you)\b",
    re.IGNORECASE,
)
CODE = re.compile(r"[;{}]$|^(?://|#include|/\*)|\(\);?$")
"""Ends of lines that are code, where a space in front says that the line is shown as typed."""
MARKS = "*#;:"
OTHER = "=|!{-fFiI"
"""What the first character of a line is where the line may be no text."""


def paragraphs(text: str, list_items: ListItems, left_out: Counter[str]) -> Iterator[str]:
    """Join the lines of each paragraph; give the list items that are wanted on their own."""
    lines: list[str] = []
    for line in text.split("\n"):
        bare = line.strip()
        first = bare[:1]
        if line[:1] == " " and CODE.search(bare):
            left_out["code"] += 1
            continue
        if first and first not in MARKS and not (first in OTHER and _is_rubble(bare, left_out)):
            lines.append(bare)
            continue
        if lines:
            yield " ".join(lines)
            lines = []
        if first and first in MARKS:
            item = _item(bare)
            if _is_wanted(bare, item, list_items):
                yield item
            else:
                left_out["lists"] += 1
    if lines:
        yield " ".join(lines)


def _is_rubble(line: str, left_out: Counter[str]) -> bool:
    """Tell headings, rules and what is left of broken tables and galleries from text."""
    if HEADING.match(line):
        left_out["headings"] += 1
        return True
    return (
        line[0] == "|"
        or line[:2] == "{|"
        or any(p.match(line) for p in (HEADER_CELL, PICTURE_LINE))
        or RULE.fullmatch(line) is not None
    )


def _item(line: str) -> str:
    """Take the marks off a list item, and the term off a definition."""
    marks = len(line) - len(line.lstrip(MARKS))
    item = line[marks:].strip()
    if line[marks - 1] != ";":
        return item
    parts = TERM.split(item, maxsplit=1)
    return parts[-1].strip()


def _is_wanted(line: str, item: str, list_items: ListItems) -> bool:
    if list_items == "sentences":
        return SENTENCE.search(item) is not None and "ISBN" not in item and not (line[0] == ":" and HATNOTE.match(item))
    return list_items == "all"
