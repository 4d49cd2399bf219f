"""Randomness for kernels: every draw is a hash of the numbers that say what it is for, the same on every machine.

Two ways to draw. `draw(bits, number)` is the draw of a given number from the stream that starts at `bits`, whatever was
drawn before; `advance(state)` is the next one of a stream that is read in order.

The machine code of a kernel that calls these is not made anew when this file changes: remove `__pycache__` after an edit.

Source: Steele et al. 2014, Fast Splittable Pseudorandom Number Generators (splitmix64).
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernel import kernel

Bits = np.uint64
State = NDArray[np.uint64]
"""One number: where a stream is."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
LAST = 0xFFFFFFFFFFFFFFFF

FIRST_FACTOR, SECOND_FACTOR = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
BY_11, BY_27, BY_30, BY_31, BY_32 = (np.uint64(by) for by in (11, 27, 30, 31, 32))


def start(seed: int) -> Bits:
    """Turn a seed of any size into the start of a stream."""
    return np.uint64(seed & LAST)


@kernel
def mix(bits: Bits) -> Bits:
    """Scramble 64 bits so that any one of them changes half of the others."""
    bits = (bits ^ (bits >> BY_30)) * FIRST_FACTOR
    bits = (bits ^ (bits >> BY_27)) * SECOND_FACTOR
    return bits ^ (bits >> BY_31)


@kernel
def draw(bits: Bits, number: Bits) -> Bits:
    """Return the draw of a given number from the stream that starts at `bits`."""
    return mix(bits + GOLDEN * number)


@kernel
def advance(state: State) -> Bits:
    """Return the next draw of a stream."""
    state[0] += GOLDEN
    return mix(state[0])


@kernel
def below(bits: Bits, bound: int) -> np.int64:
    """Turn a draw into a whole number from 0 to `bound` - 1; a bound of 32 bits at most."""
    return np.int64(((bits >> BY_32) * np.uint64(bound)) >> BY_32)


@kernel
def share(bits: Bits) -> float:
    """Turn a draw into a number from 0 to 1, 1 left out."""
    return np.float64(bits >> BY_11) * 2.0**-53
