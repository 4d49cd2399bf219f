"""Spaces put in order by one look at every byte: for texts that hold no controls.

Letters: B bytes.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernel import kernel

BORDER, SPACE, DELETE = 0x00, 0x20, 0x7F
CONTROLS = SPACE
"""Bytes below it are."""
TIDY, SPACED, ODD = range(3)
"""Single spaces; more side by side; controls."""

Bytes = NDArray[np.uint8]


def tidied(coded: bytes, texts: int) -> bytes | None:
    """Make every run of spaces in texts, parted by NUL, one; the same object if there is none, None if there are controls."""
    state = _state(coded, texts - 1)
    if state != SPACED:
        return coded if state == TIDY else None
    out_B = np.empty(len(coded), np.uint8)
    return out_B[: _single_spaced(coded, out_B)].tobytes()


def unspaced(coded: bytes) -> memoryview:
    """Leave the spaces out of a text."""
    out_B = np.empty(len(coded), np.uint8)
    return out_B[: _unspaced(np.frombuffer(coded, np.uint8), out_B)].data


@kernel
def _unspaced(coded_B: Bytes, out_B: Bytes) -> int:
    made = 0
    for byte in coded_B:
        out_B[made] = byte
        made += byte != SPACE
    return made


@kernel
def _state(coded: bytes, borders: int) -> int:
    odd = spaced = False
    before = BORDER
    for byte in coded:  # without a branch, so that many bytes are looked at in one step
        odd |= (byte < CONTROLS) & (byte != BORDER) | (byte == DELETE)
        spaced |= (byte == SPACE) & (before == SPACE)
        borders -= byte == BORDER
        before = byte
    return ODD if odd or borders != 0 else SPACED if spaced else TIDY


@kernel
def _single_spaced(coded: bytes, out_B: Bytes) -> int:
    made = 0
    before = BORDER
    for byte in coded:
        out_B[made] = byte
        made += (byte != SPACE) | (before != SPACE)
        before = byte
    return made
