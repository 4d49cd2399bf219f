"""Project Gutenberg's frame around a book: the header before it, the licence after it, in the forms used since 1991."""

import re
from dataclasses import dataclass

# Since 2003, may break over lines: "*** START OF THIS PROJECT GUTENBERG EBOOK EMMA ***".
START = re.compile(
    r"^\W*\*{3}[ ]?START OF TH(?:E|IS) PROJECT GUTENBERG[^*]{0,400}(?:\*{3})?.*$", re.IGNORECASE | re.MULTILINE
)
# Before that a licence, in front of the book or behind it, ended so: "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*END*".
LICENCE_START = re.compile(r"^\W*\*{3}START\*+THE SMALL PRINT", re.IGNORECASE | re.MULTILINE)
LICENCE_END = re.compile(r"^\W*\*END[* ]+THE SMALL PRINT.*$", re.IGNORECASE | re.MULTILINE)
END = re.compile(
    r"^\W*(?:\*{3}[ ]?END OF TH(?:E|IS) PROJECT GUTENBERG|End of (?:the |this )?Project Gutenberg)",
    re.IGNORECASE | re.MULTILINE,
)
TITLE = re.compile(r"^Title:[ \t]*(\S.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
OLD_TITLE = re.compile(
    r"^\W*(?:The )?Project Gutenberg(?:['’]s)?\s(?:e-?(?:text|book)(?: of|,)\s)?(.+?)(?:,? by .*)?\W*$",
    re.IGNORECASE | re.MULTILINE,
)
NUMBER = re.compile(r"\[E-?(?:book|text) #(\d+)\]", re.IGNORECASE)
CREDIT = re.compile(
    r"^(?:Produced|Transcribed|Prepared|Scanned|Digiti[sz]ed|HTML version|Special thanks)\b|^An Anonymous Volunteer"
    r"|\be-?(?:text|book)s?\b|\bproofread",
    re.IGNORECASE,
)
NOTE = re.compile(r"Project Gutenberg|[Tt]ranscriber['’]s [Nn]ote|\b[Ee]-?texts?\b")
"""Wherever these stand, it is not the author who speaks."""
CREDITED_PARAGRAPHS = 12
"""Credits stand among the title lines of a book, never later."""


@dataclass(frozen=True)
class Book:
    """A book without its frame; title and url are empty if the frame does not tell them."""

    title: str
    url: str
    body: str


def unframe(text: str) -> Book:
    """Take Project Gutenberg's header and licence off a book; any other text comes back as it is."""
    end = END.search(text)
    start = START.search(text) or LICENCE_END.search(text)
    if not start and not end:
        return Book("", "", text)
    begin = start.end() if start else 0
    ends = [match.start() for match in (END.search(text, begin), LICENCE_START.search(text, begin)) if match]
    header = text[:begin]
    number = NUMBER.search(header)
    url = f"https://www.gutenberg.org/ebooks/{number[1]}" if number else ""
    return Book(_title(header), url, text[begin : min(ends, default=None)])


def without_credits(paragraphs: list[str]) -> list[str]:
    """Drop what the typists of a book say in it: their names between header and title, their notes anywhere."""
    return [
        text
        for place, text in enumerate(paragraphs)
        if not NOTE.search(text) and not (place < CREDITED_PARAGRAPHS and CREDIT.search(text))
    ]


def _title(header: str) -> str:
    match = TITLE.search(header) or OLD_TITLE.search(header)
    return match[1] if match else ""
