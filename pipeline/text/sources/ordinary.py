"""Ordinary paragraphs of a book, found in its lines at the speed of C: those of which it is certain that they are prose.

Nothing is decided here otherwise than by `layout`, line by line: paragraphs end where it lets them end, and whatever might be a
heading, a list or a page number, holds a mark, or might go on from the paragraph before, is left to it.

Letters: C characters of a text, L its lines, N stretches of lines.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernel import kernel
from pipeline.text.sources import signs

Characters: TypeAlias = NDArray[np.uint8] | NDArray[np.uint32]
Numbers: TypeAlias = NDArray[np.int64]
Kinds: TypeAlias = NDArray[np.uint32]

PLANE = 1 << 16
STRANGE = PLANE - 1
"""No character; its kind is that of all characters beyond the first plane."""
LETTERS = 27
NEEDLE = 4
"""Letters of a word that are looked for."""
BREAK, BLANK, STOP = map(ord, "\n .")
MARKS = tuple(map(ord, sorted(signs.MARK_INITIALS)))
(SPACE, LOWER, ALPHA, ALNUM, ENDS, STOPS, INITIAL, NUMBER_INITIAL, NUMERAL, POINT, QUOTE, ABBREVIATED) = (
    1 << bit for bit in range(12)
)
CONTINUES, HYPHEN, UNKNOWN = (1 << bit for bit in range(12, 15))
"""Bits of the kinds of characters: how they are written and where they may stand."""
PART, WORD = 1, 2
"""Bits of the beginnings of headings."""
MOST_LETTERS = len("page")
"""Of what is a page number."""
CUT, JOINED, UNSURE = range(3)
"""How a line stands to the one before."""


class Tables(NamedTuple):
    """What is known of characters and of the words that headings begin with."""

    kinds: Kinds
    letters: NDArray[np.uint8]
    """For which letter patterns take a character, whatever its case: 1-26, 0 for none."""
    words: NDArray[np.uint8]
    """PART and WORD of four letters, as digits of one number."""


@dataclass(frozen=True)
class Stretches:
    """A text cut up from one sure border to the next: where each stretch begins and ends, and how it reads if ordinary."""

    begins: list[int]
    ends: list[int]
    proses: list[str]
    odd: list[int]
    """The numbers of those that are not ordinary."""


def stretches(text: str, width: int, words: Iterable[str]) -> Stretches:
    """Cut up a text and join the lines of what is ordinary; what holds the first four letters of a word is not."""
    chars_C = _characters(text)
    breaks_L = np.flatnonzero(chars_C == BREAK)
    lines_L3 = np.empty((len(breaks_L) + 1, 3), np.int64)
    lines_L3 = lines_L3[: _lines(chars_C, breaks_L, width, tables(), lines_L3)]
    found_N4 = np.empty((len(lines_L3), 4), np.int64)
    joined_C = np.empty_like(chars_C)
    found_N4 = found_N4[: _join(chars_C, lines_L3, tables(), _needles(words, chars_C.dtype), joined_C, found_N4)]
    prose = _text(joined_C[: found_N4[-1, 3] if len(found_N4) else 0])
    begins, ends, froms, tos = found_N4.T.tolist()
    proses = [prose[begin:end] for begin, end in zip(froms, tos, strict=True)]
    return Stretches(begins, ends, proses, np.flatnonzero(found_N4[:, 2] == found_N4[:, 3]).tolist())


def prepare() -> None:
    """Compile the loops, so that no book's time goes by with it."""
    for text in ("a", "é"):
        stretches(text, 0, ())


def _needles(words: Iterable[str], kind: np.dtype) -> Characters:
    return np.array([[ord(letter) for letter in word[:NEEDLE]] for word in words], kind).reshape(-1, NEEDLE)


def _characters(text: str) -> Characters:
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def _text(chars_C: Characters) -> str:
    coded = chars_C.tobytes()
    return coded.decode("ascii") if chars_C.dtype == np.uint8 else coded.decode("utf-32-le", "surrogatepass")


@cache
def tables() -> Tables:
    """Make the tables from the signs that `layout` goes by."""
    return Tables(_kinds(), _letters(), _words())


def _kinds() -> Kinds:
    kinds = np.zeros(PLANE, np.uint32)
    plane = list(map(chr, range(PLANE)))
    tests: tuple[tuple[int, Callable[[str], bool]], ...] = (
        (SPACE, str.isspace), (LOWER, str.islower), (ALPHA, str.isalpha), (ALNUM, str.isalnum),
    )  # fmt: skip
    for bit, test in tests:
        kinds |= np.where(np.fromiter(map(test, plane), np.bool_, PLANE), bit, 0).astype(np.uint32)
    kinds[STRANGE] = UNKNOWN | LOWER  # so that no paragraph surely ends before one
    numerals = [*re.findall("[ivxlc]", "".join(plane), re.IGNORECASE), *filter(str.isdecimal, plane)]
    sets: tuple[tuple[int, Iterable[str]], ...] = (
        (ENDS, signs.ENDS), (STOPS, signs.STOPS), (INITIAL, signs.INITIALS | signs.WORD_INITIALS),
        (NUMBER_INITIAL, signs.NUMBER_INITIALS), (NUMERAL, numerals), (POINT, signs.POINTS), (QUOTE, signs.QUOTES),
        (ABBREVIATED, "".join(title[-3:-1] for title in signs.TITLES)), (CONTINUES, signs.CONTINUES), (HYPHEN, "-"),
    )  # fmt: skip
    for bit, characters in sets:
        kinds[list(map(ord, characters))] |= bit
    return kinds


def _letters() -> NDArray[np.uint8]:
    letters = np.zeros(PLANE, np.uint8)
    for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz", 1):
        letters[list(map(ord, re.findall(letter, "".join(map(chr, range(PLANE))), re.IGNORECASE)))] = number
    return letters


def _words() -> NDArray[np.uint8]:
    words = np.zeros((LETTERS,) * 4, np.uint8)
    for bit, beginnings in ((PART, signs.PARTS), (WORD, signs.FIRST_WORDS)):
        for word in beginnings:
            words[tuple(ord(letter) - ord("a") + 1 for letter in word if letter.isalpha())[:4]] |= bit
    return words.ravel()


@kernel
def _lines(chars_C: Characters, breaks_L: Numbers, width: int, tables: Tables, lines_L3: Numbers) -> int:
    """Note of every line that is not blank where it begins, where it ends, and how it stands to the one before."""
    kinds, letters, words = tables
    count = begin = 0
    was_blank, was_doubtful = True, False
    for n in range(len(breaks_L) + 1):
        stop = breaks_L[n] if n < len(breaks_L) else len(chars_C)
        end = stop
        while end > begin and kinds[min(chars_C[end - 1], STRANGE)] & SPACE:
            end -= 1
        if end > begin:
            first, last = kinds[min(chars_C[begin], STRANGE)], kinds[min(chars_C[end - 1], STRANGE)]
            heading = (
                first & INITIAL
                and end - begin < signs.LONGEST_TITLE
                and _begins(chars_C, begin, end, letters, words) & PART
            )
            doubtful = bool(heading or first & UNKNOWN)
            stands = CUT
            if not was_blank:
                stands = _stands(chars_C, lines_L3[count - 1, 0], lines_L3[count - 1, 1], begin, end, width, kinds)
                if stands == JOINED and (doubtful or was_doubtful):
                    stands = UNSURE
            lines_L3[count, 0], lines_L3[count, 1], lines_L3[count, 2] = begin, end, stands
            count += 1
            was_doubtful = bool(heading or last & HYPHEN)
        was_blank = end == begin
        begin = stop + 1
    return count


@kernel
def _stands(chars_C: Characters, before: int, stop: int, begin: int, end: int, width: int, kinds: Kinds) -> int:
    """Tell whether a paragraph ends between two lines, whatever else they are; `layout` says why."""
    if not width and (stop - before > signs.LONGEST_WRAP or end - begin > signs.LONGEST_WRAP):
        return CUT
    if not kinds[min(chars_C[stop - 1], STRANGE)] & ENDS:
        return JOINED
    if width and not _fits(chars_C, stop - before, begin, end, width, kinds):
        return JOINED
    abbreviated = (
        chars_C[stop - 1] == STOP and stop - before > 2 and kinds[min(chars_C[stop - 2], STRANGE)] & ABBREVIATED
    )
    return UNSURE if abbreviated and kinds[min(chars_C[stop - 3], STRANGE)] & ABBREVIATED else CUT


@kernel
def _fits(chars_C: Characters, length: int, begin: int, end: int, width: int, kinds: Kinds) -> bool:
    """Tell whether the first word of a line is none that begins small, and had fitted at the end of the line before."""
    first = kinds[min(chars_C[begin], STRANGE)]
    if first & (SPACE | LOWER):
        return bool(first & SPACE)
    last = begin + width - signs.RAGGED - 1 - length
    at = begin
    while at < end and at <= last and not kinds[min(chars_C[at], STRANGE)] & SPACE:
        at += 1
    return at <= last


@kernel
def _begins(chars_C: Characters, begin: int, end: int, letters: NDArray[np.uint8], words: NDArray[np.uint8]) -> int:
    """Say whether the first four letters of a text begin a PART or a WORD, the first three in one word."""
    at = begin
    while at < end and not letters[min(chars_C[at], STRANGE)]:
        at += 1
    if at + 3 > end:
        return 0
    number = 0
    for n in range(at, at + 3):
        letter = letters[min(chars_C[n], STRANGE)]
        if not letter:
            return 0
        number = number * LETTERS + letter
    at += 3
    while at < end and not letters[min(chars_C[at], STRANGE)]:
        at += 1
    return int(words[number * LETTERS + (letters[min(chars_C[at], STRANGE)] if at < end else 0)])


@kernel
def _join(
    chars_C: Characters, lines_L3: Numbers, tables: Tables, needles: Characters, joined_C: Characters, found_N4: Numbers
) -> int:
    """Note of every stretch where it begins and ends and where it stands joined, if it is ordinary."""
    count = written = line = 0
    while line < len(lines_L3):
        first, sure = line, True
        line += 1
        while line < len(lines_L3) and lines_L3[line, 2] != CUT:
            sure &= lines_L3[line, 2] == JOINED
            line += 1
        begin, end = lines_L3[first, 0], lines_L3[line - 1, 1]
        found_N4[count, 0], found_N4[count, 1], found_N4[count, 2] = begin, end, written
        if sure and not _holds(chars_C[begin:end], needles) and _is_ordinary(chars_C, lines_L3[first:line], tables):
            written = _written(chars_C, lines_L3[first:line], tables.kinds, joined_C, written)
        found_N4[count, 3] = written
        count += 1
    return count


@kernel
def _holds(chars_C: Characters, needles: Characters) -> bool:
    """Tell whether there is a mark or one of the needles; without a branch, so that it is done for many characters at once."""
    held = False
    for n in range(len(chars_C)):
        held |= (chars_C[n] == MARKS[0]) | (chars_C[n] == MARKS[1]) | (chars_C[n] == MARKS[2])
    for needle in range(len(needles)):
        one, two, three, four = needles[needle, 0], needles[needle, 1], needles[needle, 2], needles[needle, 3]
        for n in range(len(chars_C) - NEEDLE + 1):
            held |= (chars_C[n] == one) & (chars_C[n + 1] == two) & (chars_C[n + 2] == three) & (chars_C[n + 3] == four)
    return held


@kernel
def _written(chars_C: Characters, lines_L3: Numbers, kinds: Kinds, joined_C: Characters, at: int) -> int:
    """Write lines with blanks between, without the space around; returns where they end."""
    begin = lines_L3[0, 0]
    while kinds[min(chars_C[begin], STRANGE)] & SPACE:
        begin += 1
    for line in range(len(lines_L3)):
        if line:
            joined_C[at] = BLANK
            at += 1
            begin = lines_L3[line, 0]
        end = at + lines_L3[line, 1] - begin
        joined_C[at:end] = chars_C[begin : lines_L3[line, 1]]
        at = end
    return at


@kernel
def _is_ordinary(chars_C: Characters, lines_L3: Numbers, tables: Tables) -> bool:
    """Tell whether a block is certainly neither heading, ruler, page number nor list, nor goes on from the one before."""
    kinds = tables.kinds
    begin, end = lines_L3[0, 0], lines_L3[-1, 1]
    first = kinds[min(chars_C[begin], STRANGE)]
    at = begin
    while kinds[min(chars_C[at], STRANGE)] & SPACE:
        at += 1
    if kinds[min(chars_C[at], STRANGE)] & (LOWER | CONTINUES):
        return False
    if first & NUMBER_INITIAL and len(lines_L3) > 2 and _may_be_listed(chars_C, begin, lines_L3[0, 1], tables):
        return False
    length = len(lines_L3) - 1  # of the lines without the space at their ends
    for line in range(len(lines_L3)):
        length += lines_L3[line, 1] - lines_L3[line, 0]
    if length > signs.LONGEST_HEADING:
        return True
    if first & QUOTE and end - begin > 1 and kinds[min(chars_C[begin + 1], STRANGE)] & ALPHA:
        return True
    return not _may_be_title(chars_C, begin, end, length, tables) and _has_words(chars_C, begin, end, kinds)


@kernel
def _may_be_title(chars_C: Characters, begin: int, end: int, length: int, tables: Tables) -> bool:
    """Tell whether a block may be a heading that is not all in capitals."""
    if length <= signs.LONGEST_ROMAN:
        return True
    if length <= signs.LONGEST_TITLE and not tables.kinds[min(chars_C[end - 1], STRANGE)] & STOPS:
        return True
    first = tables.kinds[min(chars_C[begin], STRANGE)]
    return bool(first & INITIAL and _begins(chars_C, begin, end, tables.letters, tables.words))


@kernel
def _has_words(chars_C: Characters, begin: int, end: int, kinds: Kinds) -> bool:
    """Tell whether a block has a small letter, and more letters than a page number."""
    lower, letters = False, 0
    for n in range(begin, end):
        kind = kinds[min(chars_C[n], STRANGE)]
        lower |= kind & (LOWER | UNKNOWN) == LOWER
        letters += kind & ALPHA != 0
        if lower and letters > MOST_LETTERS:
            return True
    return False


@kernel
def _may_be_listed(chars_C: Characters, begin: int, end: int, tables: Tables) -> bool:
    """Tell whether a line may begin with a number and a point, or as a part of a book is called."""
    at = begin
    while at < end and not tables.kinds[min(chars_C[at], STRANGE)] & (ALNUM | UNKNOWN):
        at += 1
    start = at
    while at < end and tables.kinds[min(chars_C[at], STRANGE)] & NUMERAL:
        at += 1
    if at > start:
        while at < end and tables.kinds[min(chars_C[at], STRANGE)] & SPACE:
            at += 1
        if at < end and tables.kinds[min(chars_C[at], STRANGE)] & POINT:
            return True
    return bool(_begins(chars_C, begin, end, tables.letters, tables.words) & PART)
