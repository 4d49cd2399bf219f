"""The layout of a printed book undone: lines become paragraphs, and what is no prose is left out and counted.

Paragraphs end at blank lines. Where a book has none, they end at lines that stop short at the end of a sentence, and in books
that have a paragraph a line, at every line. Headings, lists of contents, page numbers, rulers and the places of pictures are left out.
Here is decided what is what; the most of a book is ordinary prose, which `ordinary` finds so much faster.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.text.sources.pictures import without_pictures
from pipeline.text.sources.signs import (
    BARE_HEADING,
    CONTENTS,
    CONTINUES,
    EMPHASIS,
    ENDS,
    FOOTNOTE,
    HEADING,
    HEADING_WORDS,
    HYPHEN_BREAK,
    INITIALS,
    LISTED,
    LONGEST_HEADING,
    LONGEST_ROMAN,
    LONGEST_TITLE,
    LONGEST_WRAP,
    MARKS,
    NOTE,
    NUMBER_INITIALS,
    PAGE,
    PAGE_ENDS,
    QUOTES,
    RAGGED,
    ROMAN,
    STOPS,
    TITLES,
    WORD_INITIALS,
)

SLAB_CHARACTERS = 1 << 17
"""So few that what is made of them stays in the processor's cache."""
SAMPLE_CHARACTERS = 1 << 16


def wrap_width(text: str) -> int:
    """Say at how many characters the lines of a book are broken; 0 if each is a whole paragraph."""
    lengths = sorted(filter(None, map(len, map(str.rstrip, text[:SAMPLE_CHARACTERS].split("\n")))))
    width = lengths[len(lengths) * 9 // 10] if lengths else 0
    return width if width <= LONGEST_WRAP else 0


@dataclass(frozen=True)
class Foreign:
    """What is by somebody else than the author: `tells` says it of a block and its number, counted from 0.

    It is asked of the first `places` blocks, and of those that hold one of `words`.
    """

    tells: Callable[[str, int], bool]
    words: tuple[str, ...]
    places: int


NOBODY = Foreign(lambda block, place: False, (), 0)


class Paragraphs:
    """Makes paragraphs of a book that comes in pieces, and counts by kind what it leaves out."""

    def __init__(self, width: int, foreign: Foreign) -> None:
        self.left_out: Counter[str] = Counter()
        self._width = width
        self._foreign = foreign
        self._blocks = 0
        self._held: list[str] = []
        """Of the last paragraph, which may go on after the end of a page, what there is: joined when it ends."""
        self._after_heading = True  # at the title page
        self._in_contents = False

    def take(self, text: str) -> list[str]:
        """Give the paragraphs of a piece; the last one only when the next is known, or by `rest`."""
        from pipeline.text.sources.ordinary import stretches  # compiles its loops

        kept: list[str] = []
        end = "\r\n" if "\r\n" in text[:SAMPLE_CHARACTERS] else "\n"
        for slab in _slabs(text, end + end):
            found = stretches(slab, self._width, self._foreign.words)
            at = 0
            for odd in (*found.odd, len(found.proses)):
                while at < odd and (self._in_contents or self._blocks < self._foreign.places):
                    kept += self._examined(slab[found.begins[at] : found.ends[at]])
                    at += 1
                if at < odd:
                    kept += self._plain(found.proses[at:odd])
                if odd < len(found.proses):
                    kept += self._examined(slab[found.begins[odd] : found.ends[odd]])
                at = odd + 1
        return kept

    def _plain(self, proses: list[str]) -> list[str]:
        """Give the paragraphs before the last of some that are certainly prose."""
        self._blocks += len(proses)
        self._after_heading = False
        last = proses.pop()
        if self._held:
            proses.insert(0, " ".join(self._held))
        self._held = [last]
        return proses

    def _examined(self, stretch: str) -> Iterator[str]:
        """Yield the paragraphs before those of a stretch that may be anything."""
        if "\n" not in stretch:
            blocks = iter([[stretch]])
        else:
            blocks = _cut([raw.rstrip() for raw in stretch.split("\n")], self._width)
        for lines in blocks:
            block = "\n".join(lines)
            kind = self._kind(block, lines)
            self._blocks += 1
            if kind:
                self.left_out[kind] += 1
                continue
            self._after_heading = self._in_contents = False
            prose = self._mended(block)
            if self._held and _goes_on(prose) and self._held[-1][-1] not in ENDS:
                self._held.append(prose)
            elif prose:
                yield from self.rest()
                self._held = [prose]

    def rest(self) -> Iterator[str]:
        """Yield the last paragraph."""
        if self._held:
            yield " ".join(self._held)
        self._held = []

    def _kind(self, block: str, lines: list[str]) -> str:
        """Say what a block is if it is no prose."""
        if self._foreign.tells(block, self._blocks):
            return "boilerplate"
        listed = self._in_contents or (len(lines) > 2 and block[0] in NUMBER_INITIALS)
        if listed and _is_list(lines, self._in_contents):
            return "contents"
        if len(block) > LONGEST_HEADING or (block[0] in QUOTES and block[1:2].isalpha()):
            return ""
        if not block[0].isalpha() and not any(map(str.isalnum, block)):
            return "rulers"
        if block[-1] in PAGE_ENDS and PAGE.match(block):
            return "page numbers"
        if not self._is_heading(block):
            return ""
        self._after_heading = True
        self._in_contents = self._in_contents or bool(block[-1] in "Ss._" and CONTENTS.match(block))
        return "headings"

    def _is_heading(self, block: str) -> bool:
        if block.isupper():
            is_telegram = block[-1] == "." and len(block) > LONGEST_TITLE and not self._after_heading
            return block[0] not in QUOTES and block[-1] not in "!?" and not is_telegram
        if len(block) <= LONGEST_TITLE:
            if self._after_heading and block[-1] not in STOPS and _is_titled(block):
                return True
            if block[0] in WORD_INITIALS and HEADING_WORDS.match(block):
                return True
            if len(block) <= LONGEST_ROMAN and ROMAN.match(block):
                return True
        return block[0] in INITIALS and bool(HEADING.match(block))

    def _mended(self, block: str) -> str:
        """Take out marks and emphasis and join the lines; a test before each pattern is 10 times faster than the pattern."""
        block = self._unmarked(block)
        if "-\n" in block:
            block = HYPHEN_BREAK.sub("", block)
        return block.replace("\n", " ").strip()

    def _unmarked(self, block: str) -> str:
        if "_" in block:
            block = EMPHASIS.sub(r"\1", block)
        if "[" not in block and "{" not in block:
            return block
        block, pictures = without_pictures(FOOTNOTE.sub(r"\1", block))
        closed = block.rfind("]") + 1
        rest, notes = NOTE.subn("", block[:closed])
        block, marks = MARKS.subn("", rest + block[closed:])
        self.left_out.update(illustrations=pictures, notes=notes, marks=marks)
        return block


def _cut(lines: list[str], width: int) -> Iterator[list[str]]:
    """Cut lines into paragraphs: where one is blank, around headings, and where a paragraph ends."""
    block: list[str] = []
    alone = False
    for line in lines:
        if not line:
            if block:
                yield block
                block = []
            continue
        heading = line[0] in INITIALS and _is_bare_heading(line)
        if block and (alone or heading or ((not width or block[-1][-1] in ENDS) and _ends(block[-1], line, width))):
            yield block
            block = []
        if not block:
            alone = heading
        block.append(line)
    if block:
        yield block


def _ends(line: str, following: str, width: int) -> bool:
    """Tell whether a paragraph ends between two lines without a blank one between them."""
    if not width and (len(line) > LONGEST_WRAP or len(following) > LONGEST_WRAP):
        return True
    if line[-1] not in ENDS or line.endswith(TITLES):
        return False
    if not width or following[0].isspace():
        return True
    word = following.split(None, 1)[0]
    return len(line) + len(word) + 1 + RAGGED <= width and not word[0].islower()


def _is_bare_heading(line: str) -> bool:
    return len(line) < LONGEST_TITLE and bool(BARE_HEADING.match(line))


def _goes_on(prose: str) -> bool:
    """Tell whether a paragraph begins in the middle of a sentence."""
    return prose[:1].islower() or (prose[:1] in CONTINUES and prose[1:2] in ' "')


def _is_list(lines: list[str], announced: bool) -> bool:
    """Tell whether most lines are entries of contents: numbered or, after the word "Contents", like titles."""
    if not (announced or LISTED.match(lines[0])):
        return False
    entries = sum(bool(line[-1].isdigit() or LISTED.match(line) or (announced and _is_title(line))) for line in lines)
    return entries >= len(lines) * 0.7 and max(map(len, lines)) <= LONGEST_WRAP


def _is_titled(block: str) -> bool:
    """Tell whether words are written as in titles: most of them with a capital, or very few words at all."""
    words = block.split()
    small = sum(word[0].islower() for word in words)
    return len(words) <= 3 or small <= len(words) / 2


def _is_title(line: str) -> bool:
    return line.isupper() or (line[-1] not in STOPS and _is_titled(line))


def _slabs(text: str, blank: str) -> Iterator[str]:
    """Cut a text at blank lines into slabs, so that no list of all its lines is made."""
    begin = 0
    while len(text) - begin > SLAB_CHARACTERS:
        end = text.rfind(blank, begin, begin + SLAB_CHARACTERS)
        if end <= begin:
            end = text.find(blank, begin + SLAB_CHARACTERS)
        if end < 0:
            break
        yield text[begin:end]
        begin = end + len(blank)
    yield text[begin:]
