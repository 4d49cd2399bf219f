"""Texts in which something beyond ASCII stands beside its like, or looks wrong by itself: found by one look at every byte."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernel import kernel

BORDER = 0x00
SEPARATOR = "\0"
BEYOND, LEAD_TWO, LEAD_THREE, LEAD_FOUR = 0x80, 0xC0, 0xE0, 0xF0
"""The least bytes of UTF-8 that are not ASCII, and that begin a character of two, three and four bytes."""
TAIL = 0x3F

Flags = NDArray[np.bool_]
Places = NDArray[np.int64]


def close_or_odd(texts: Sequence[str], odd: Flags) -> list[int]:
    """Give the places of the texts with two characters beyond ASCII side by side, or with one below U+10000 that is odd.

    Texts that hold NUL themselves cannot be told apart: then every place is given.
    """
    coded = SEPARATOR.join(texts).encode("utf-8", "surrogatepass")
    if coded.count(BORDER) >= max(1, len(texts)):
        return list(range(len(texts)))
    places = np.empty(len(texts), np.int64)
    found = _close_or_odd(coded, odd, places)
    return [int(place) for place in places[:found]]


@kernel
def _close_or_odd(coded: bytes, odd: Flags, places: Places) -> int:
    place = found = 0
    beyond = False  # whether the character before is beyond ASCII
    for at in range(len(coded)):
        byte = coded[at]
        if byte < BEYOND:
            beyond = False
            place += byte == BORDER
        elif byte >= LEAD_TWO:
            if (beyond or _is_odd(coded, at, odd)) and (found == 0 or places[found - 1] != place):
                places[found] = place
                found += 1
            beyond = True
    return found


@kernel
def _is_odd(coded: bytes, at: int, odd: Flags) -> bool:
    lead = coded[at]
    if lead >= LEAD_FOUR:
        return False
    if lead < LEAD_THREE:
        return bool(odd[(lead - LEAD_TWO) << 6 | (coded[at + 1] & TAIL)])
    return bool(odd[(lead - LEAD_THREE) << 12 | (coded[at + 1] & TAIL) << 6 | (coded[at + 2] & TAIL)])
