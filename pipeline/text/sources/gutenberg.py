"""Project Gutenberg's frame around a book: the header before it, the licence after it, in the forms used since 1991.

Texts come in pieces, since somebody may have put a thousand books into one file. A frame is never longer than LONGEST_FRAME:
what is longer between two marks is text, and kept.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

# Since 2003, may break over lines: "*** START OF THIS PROJECT GUTENBERG EBOOK EMMA ***".
START = re.compile(r"\W*\*{3}[ ]?START OF TH(?:E|IS) PROJECT GUTENBERG(?:[^*]{0,400}\*{3}.*|.*)", re.IGNORECASE)
# Before that a licence, in front of the book or behind it, ended so: "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*END*".
LICENCE_START = re.compile(r"\W*\*{3}START\*+THE SMALL PRINT.*", re.IGNORECASE)
LICENCE_END = re.compile(r"\W*\*END[* ]+THE SMALL PRINT.*", re.IGNORECASE)
END = re.compile(
    r"\W*(?:\*{3}[ ]?END OF TH(?:E|IS) PROJECT GUTENBERG|End of (?:the |this )?Project Gutenberg).*", re.IGNORECASE
)
NAMES = ("utenberg", "UTENBERG")
SMALL_PRINTS = ("SMALL PRINT", "mall Print")
"""Every line that matches one of these patterns holds one of these words, which are found much faster."""
TITLE = re.compile(r"^Title:[ \t]*(\S.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
OLD_TITLE = re.compile(
    r"^[^\w\n]*+(?:The )?Project Gutenberg(?:['’]s)?\s(?:e-?(?:text|book)(?: of|,)\s)?(.+)",
    re.IGNORECASE | re.MULTILINE,
)
AUTHOR = re.compile(r"(?<=.),? by ", re.IGNORECASE)
LAST_WORD = re.compile(r".*\w")
NUMBER = re.compile(r"\[E-?(?:book|text) #(\d+)\]", re.IGNORECASE)
CREDIT = re.compile(
    r"^(?:Produced|Transcribed|Prepared|Scanned|Digiti[sz]ed|HTML version|Special thanks)\b|^An Anonymous Volunteer"
    r"|\be-?(?:text|book)s?\b|\bproofread",
    re.IGNORECASE,
)
NOTE = re.compile(r"Project Gutenberg|[Tt]ranscriber['’]s [Nn]ote|\b[Ee]-?texts?\b")
"""Wherever these stand, it is not the author who speaks."""
NOTE_WORDS = ("Gutenberg", "ranscriber", "text")
"""All that matches NOTE holds one of these words, which are found 5 times faster."""
CREDITED_PARAGRAPHS = 12
"""Credits stand among the title lines of a book, never later."""
LONGEST_FRAME = 65_536
"""Characters. The longest licence of the 32 books tried has 19,000, the longest header of 1991-2002 about 12,000."""


class Mark(Enum):
    """What a line of a frame says about the text around it."""

    NONE = "the file begins"
    START = "the book begins after this line"
    OLD_START = "the book begins after this line, unless a newer header follows"
    SMALL_PRINT = "a licence begins: of the book before this line or, in a header, of the one after it"
    END = "the book ended before this line"


PATTERNS = ((START, Mark.START), (END, Mark.END), (LICENCE_START, Mark.SMALL_PRINT), (LICENCE_END, Mark.OLD_START))


@dataclass(frozen=True)
class Book:
    """A book without its frame, or the next part of it; title and url are empty if no frame tells them."""

    title: str = ""
    url: str = ""
    body: str = ""
    framed: bool = False
    frames: int = 0
    """How many headers and licences were taken off this part."""
    begins: bool = True


class Unframer:
    """Takes the frames off a text that comes in pieces."""

    def __init__(self) -> None:
        self._last = Mark.NONE
        self._book = Book()
        self._held = ""
        """Text since the last mark that may yet turn out to be a header or a licence."""

    def take(self, piece: str, *, final: bool) -> Iterator[Book]:
        """Yield the books, or parts of them, in a piece; all but the final one end with a line."""
        text, at = self._held + piece, 0
        for begin, end, mark in _marks(text):
            if mark is Mark.SMALL_PRINT:
                if self._last not in (Mark.START, Mark.OLD_START):
                    continue
                mark = Mark.END
            yield from self._between(text[at:begin], mark)
            self._last, at = mark, end
        yield from self._after(text[at:], final)

    def _between(self, text: str, mark: Mark) -> Iterator[Book]:
        """Decide what stands between the last mark and this one: a header, a licence or a book."""
        opens = mark is not Mark.END
        header = opens and (self._last in (Mark.NONE, Mark.END) or (self._last, mark) == (Mark.OLD_START, Mark.START))
        licence = not opens and self._last is Mark.END
        if not (header or licence) or len(text) >= LONGEST_FRAME:
            yield from self._part(text, ended=not opens)
        if opens:
            header_text = text[-LONGEST_FRAME:]
            number = NUMBER.search(header_text)
            url = f"https://www.gutenberg.org/ebooks/{number[1]}" if number else ""
            older = self._book if self._last is Mark.OLD_START else Book()
            self._book = Book(title(header_text) or older.title, url or older.url, framed=True, frames=1)

    def _after(self, text: str, final: bool) -> Iterator[Book]:
        """Keep what may be a frame until more is known; the licence at the end of the file is nobody's text."""
        self._held = ""
        short = len(text) < LONGEST_FRAME
        if self._last is not Mark.START and short and not final:
            self._held = text
        elif not (self._last is Mark.END and short):
            if self._last is Mark.END:
                self._book = Book(framed=True)
            yield from self._part(text, ended=False)
            self._last = Mark.START

    def _part(self, text: str, *, ended: bool) -> Iterator[Book]:
        if ended:
            self._book = replace(self._book, framed=True, frames=self._book.frames + 1)
        if text and not text.isspace():
            yield replace(self._book, body=text)
            self._book = replace(self._book, frames=0, begins=False)


def is_note(paragraph: str, place: int) -> bool:
    """Tell whether the typists of a book speak: of themselves between header and title, of the text anywhere."""
    if place < CREDITED_PARAGRAPHS and CREDIT.search(paragraph):
        return True
    return any(word in paragraph for word in NOTE_WORDS) and bool(NOTE.search(paragraph))


def _marks(text: str) -> list[tuple[int, int, Mark]]:
    """Find the lines that mark frames: where each begins, where it ends, and which it is."""
    found = {}
    named = [at for word in NAMES for at in _places(text, word)]
    places = named + [at for word in SMALL_PRINTS if named for at in _places(text, word)]
    for begin in sorted(set(places)):
        for pattern, mark in PATTERNS:
            if match := pattern.match(text, begin):
                found[match.end()] = (begin, match.end(), mark)
                break
    return list(found.values())


def _places(text: str, word: str) -> Iterator[int]:
    """Yield where the lines begin that hold a word."""
    end = 0
    while (at := text.find(word, end)) >= 0:
        yield text.rfind("\n", end, at) + 1
        end = text.find("\n", at)
        if end < 0:
            return


def title(header: str) -> str:
    """Find the title of a book in its header; nothing if there is none."""
    match = TITLE.search(header)
    return " ".join((match[1] if match else _old_title(header)).split())


def _old_title(header: str) -> str:
    match = OLD_TITLE.search(header)
    if not match:
        return ""
    title, *author = AUTHOR.split(match[1], maxsplit=1)
    if author:
        return title
    end = LAST_WORD.match(title)
    return end[0] if end else title[0]
