"""The places of pictures in a book, "[Illustration: _Mr. Bennet_ [Copyright 1894]]", taken out in one go, however many are never closed."""

import re
from bisect import bisect
from collections.abc import Iterator

BEGIN = re.compile(r"\[Illustration", re.IGNORECASE)
BRACKET = re.compile(r"[\[\]]")


def without_pictures(block: str) -> tuple[str, int]:
    """Take the places of pictures out of a block, and count them; one that is open at the end of the block ends there.

    In such a place there may be brackets, but none within brackets; where one of them is not closed, it is no place of a picture.
    """
    if not BEGIN.search(block):
        return block, 0
    kept, at, count = [], 0, 0
    for begin, end in _places(block):
        kept.append(block[at:begin])
        at = end
        count += 1
    return "".join((*kept, block[at:])), count


def _places(block: str) -> Iterator[tuple[int, int]]:
    closes = [match.start() for match in re.finditer("]", block)]
    dead: set[int] = set()
    match = BEGIN.search(block)
    while match:
        end = _end(block, match.end(), closes, dead)
        if end is not None:
            yield match.start(), end
        match = BEGIN.search(block, match.end() if end is None else end)


def _end(block: str, at: int, closes: list[int], dead: set[int]) -> int | None:
    """Say where a place ends; None if a bracket in it is not closed. `dead` are numbers of brackets after which one is not."""
    passed: list[int] = []
    while bracket := BRACKET.search(block, at):
        if bracket[0] == "]":
            return bracket.end()
        closing = bisect(closes, bracket.start())
        if closing in dead or closing == len(closes):
            dead.update(passed)
            return None
        passed.append(closing)
        at = closes[closing] + 1
    return len(block)
