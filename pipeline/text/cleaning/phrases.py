"""How much of a text lies in phrases that come more than once, counted by compiled loops.

Words are compared by 64-bit hashes: that two words of a text share one is less likely than a broken disk.

Legend: `W` words, `S` slots of a hash table.
"""

import numpy as np
import numpy.typing as npt

from pipeline.core.kernel import kernel

Hashes = npt.NDArray[np.uint64]
Letters = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Shares = npt.NDArray[np.float64]

FNV_START = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)
MIX = np.uint64(0x9E3779B97F4A7C15)
HALF = np.uint64(32)


def shares(text: str, longest: int) -> tuple[Shares, Shares]:
    """Give two shares of the letters of a normalised text, each by the words of a phrase, from 2 to `longest`.

    The first is of letters in the commonest phrase that comes at least twice (of equally common ones, the longest); the second
    of letters in phrases that came before in the text, each letter counted once.
    """
    data = np.frombuffer(text.encode(), np.uint8)
    hashes_W, letters_W = _words(data)
    return _shares(hashes_W, letters_W, longest)


@kernel
def _words(data: npt.NDArray[np.uint8]) -> tuple[Hashes, Letters]:
    """Hash the words of a text and count their letters."""
    most = data.size // 2 + 1
    hashes_W = np.empty(most, np.uint64)
    letters_W = np.empty(most, np.int64)
    words = letters = 0
    hash_ = FNV_START
    for at in range(data.size + 1):
        if at == data.size or data[at] == 32 or data[at] == 10:
            if letters:
                hashes_W[words], letters_W[words] = hash_, letters
                words += 1
            hash_, letters = FNV_START, 0
        else:
            hash_ = (hash_ ^ np.uint64(data[at])) * FNV_PRIME
            letters += (data[at] & 0xC0) != 0x80
    return hashes_W[:words], letters_W[:words]


@kernel
def _shares(hashes_W: Hashes, letters_W: Letters, longest: int) -> tuple[Shares, Shares]:
    total = max(1, letters_W.sum())
    slots = 16
    while slots < 2 * hashes_W.size:
        slots *= 2
    keys_S, counts_S = np.empty(slots, np.uint64), np.empty(slots, np.int64)
    slot_W = np.empty(hashes_W.size, np.int64)
    rolled_W = hashes_W.copy()  # the hash of the phrase that begins at a word
    twice_W = np.ones(hashes_W.size, np.bool_)  # whether the phrase that begins at a word comes twice
    top, repeated = np.zeros(longest + 1), np.zeros(longest + 1)
    for size in range(2, longest + 1):
        twice_W[max(0, hashes_W.size - size + 1) :] = False
        counts_S[:] = 0
        for at in range(hashes_W.size - size + 1):
            if twice_W[at]:  # if a phrase comes once, no longer one that begins there comes twice
                rolled = (rolled_W[at] * FNV_PRIME ^ hashes_W[at + size - 1]) * MIX
                rolled_W[at] = rolled ^ (rolled >> HALF)
                slot_W[at] = _slot(keys_S, counts_S, rolled_W[at])
                counts_S[slot_W[at]] += 1
        repeated[size] = _letters_come_before(twice_W, slot_W, counts_S, letters_W, size) / total
        top[size] = min(1.0, _letters_in_top(twice_W, slot_W, counts_S, letters_W, size) / total)
    return top, repeated


@kernel
def _slot(keys_S: Hashes, counts_S: Letters, key: np.uint64) -> np.int64:
    """Find the slot of a key, or the empty one where it belongs."""
    mask = keys_S.size - 1
    slot = np.int64(key & np.uint64(mask))
    while counts_S[slot] and keys_S[slot] != key:
        slot = (slot + 1) & mask
    keys_S[slot] = key
    return slot


@kernel
def _letters_in_top(twice_W: Flags, slot_W: Letters, counts_S: Letters, letters_W: Letters, size: int) -> int:
    """Count the letters of the commonest phrase that comes twice, and note for each phrase whether it does."""
    most = longest = 0
    for at in range(twice_W.size - size + 1):
        if not twice_W[at]:
            continue
        count = counts_S[slot_W[at]]
        twice_W[at] = count > 1
        if twice_W[at] and count >= most:
            letters = letters_W[at : at + size].sum()
            longest = letters if count > most else max(letters, longest)
            most = count
    return most * longest


@kernel
def _letters_come_before(twice_W: Flags, slot_W: Letters, counts_S: Letters, letters_W: Letters, size: int) -> int:
    """Count letters in phrases that came before, each once; what has come is marked by a negative count."""
    covered = covered_to = 0
    for at in range(twice_W.size - size + 1):
        if not twice_W[at] or counts_S[slot_W[at]] == 1:
            continue
        if counts_S[slot_W[at]] < 0:
            covered += letters_W[max(at, covered_to) : at + size].sum()
            covered_to = at + size
        else:
            counts_S[slot_W[at]] *= -1
    for slot in range(counts_S.size):
        counts_S[slot] = abs(counts_S[slot])
    return covered
