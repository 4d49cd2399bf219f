"""The loops over bytes and numbers: words, shingles, sketches, bands, links.

They stand in one file because compiled code is remembered by file: a loop changed elsewhere would go on being called as it was.

Letters: D documents, P numbers of a signature, B bands.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernel import kernel

Signatures = NDArray[np.uint32]
Hashes = NDArray[np.uint64]
Bytes = NDArray[np.uint8]
Letters = NDArray[np.uint32]
Ints = NDArray[np.int64]

BORDER, SILENT = np.uint32(0), np.uint32(1)
"""What a character counts as between words, and within them."""
ALONE = np.uint32(1 << 31)
"""Marks letters that are words by themselves."""
NOTHING = np.uint32(0xFFFFFFFF)
"""Every number of a document without words."""
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
"""A bin without a shingle; the key of a document without words."""
FNV_OFFSET, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
"""FNV-1a over letters, for words."""
RADIX = np.uint64(0xD1342543DE82EF95)
"""Shingles are polynomials of their words' hashes modulo 2^64, with this odd number for the variable."""
GOLDEN, MIX_1, MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""splitmix64 (Steele, Lea and Flood 2014)."""
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
PATIENCE = 32
"""Rounds until repeated shingles are looked for; only short texts, and those that repeat themselves, get so far."""


@kernel
def mix(number: np.uint64) -> np.uint64:
    """Scatter the bits of a number, one to one."""
    number = (number ^ (number >> np.uint64(30))) * MIX_1
    number = (number ^ (number >> np.uint64(27))) * MIX_2
    return number ^ (number >> np.uint64(31))


@kernel
def _width(lead: np.uint8) -> np.uint64:
    """Give the bytes of a character from its first; one for a byte that is the first of none."""
    return np.uint64(1) + np.uint64(lead >= 0xC0) + np.uint64(lead >= 0xE0) + np.uint64(lead >= 0xF0)


@kernel
def _letter(text: Bytes, at: np.uint64, width: np.uint64, fold: Letters) -> np.uint32:
    """Decode a character that is not ASCII; those beyond the first plane are words by themselves."""
    code = np.uint32(text[at] & (0x7F >> width))
    for more in range(at + np.uint64(1), at + width):
        code = (code << np.uint32(6)) | np.uint32(text[more] & 0x3F)
    if width == 1:
        return BORDER
    return fold[code] if width < 4 else ALONE | code


@kernel
def _put(word: np.uint64, words: Hashes, count: int) -> int:
    """Append a word, unless it has no letter yet, to the first `count`; return how many there are then."""
    words[count] = word
    return count + int(word != FNV_OFFSET)


@kernel
def hash_words(text: Bytes, begin: int, end: int, fold: Letters, words: Hashes, count: int) -> int:
    """Append the words of text[begin:end] to the first `count`; return how many there are then.

    In ASCII no branch asks whether a word ends: it would be guessed wrong at every word, and take half of the time.
    """
    at, stop, word = np.uint64(begin), np.uint64(end), FNV_OFFSET
    while at < stop:
        if text[at] < 0x80:
            letter = fold[text[at]]
            at += np.uint64(1)
            words[count] = word
            count += (letter == BORDER) & (word != FNV_OFFSET)
            word = FNV_OFFSET if letter == BORDER else (word ^ np.uint64(letter)) * FNV_PRIME
            continue
        width = min(_width(text[at]), stop - at)
        letter = _letter(text, at, width, fold)
        at += width
        if letter >= ALONE:
            count = _put((FNV_OFFSET ^ np.uint64(letter)) * FNV_PRIME, words, _put(word, words, count))
            word = FNV_OFFSET
        elif letter == BORDER:
            count, word = _put(word, words, count), FNV_OFFSET
        elif letter != SILENT:
            word = (word ^ np.uint64(letter)) * FNV_PRIME
    return _put(word, words, count)


@kernel
def _roll(words: Hashes, length: int) -> int:
    """Turn hashes of words into hashes of shingles, in place; return how many shingles there are."""
    shingle, leaving = np.uint64(0), np.uint64(1)
    for at in range(min(length, len(words))):
        shingle = shingle * RADIX + words[at]
        leaving *= RADIX
    for at in range(len(words) - length):
        following = shingle * RADIX + words[at + length] - words[at] * leaving
        words[at] = shingle
        shingle = following
    count = max(len(words) - length + 1, min(len(words), 1))
    if count:
        words[count - 1] = shingle
    return count


@kernel
def _deal(shingles: Hashes, turn: int, bins: Hashes) -> int:
    """Deal all shingles to the bins once more, at random or, in later rounds, to one bin; return how many bins that filled.

    A bin holds the round in its upper half, so that what an earlier round put there stays.
    """
    size, filled = np.uint64(len(bins)), 0
    salt, level = np.uint64(turn + 1) * GOLDEN, np.uint64(turn) << HALF
    for shingle in shingles:
        number = mix(shingle + salt)
        at = ((number >> HALF) * size) >> HALF if turn < len(bins) else np.uint64(turn - len(bins))
        value = level | (number & LOW)
        if value < bins[at]:
            filled += bins[at] == EMPTY
            bins[at] = value
    return filled


@kernel
def _sketch(shingles: Hashes, bins: Hashes) -> None:
    """Fill every bin; the least hash of some round in each."""
    bins[:] = EMPTY
    missing = len(bins)
    for turn in range(2 * len(bins)):
        if turn == PATIENCE:
            shingles = np.unique(shingles)
        if turn < len(bins) or bins[turn - len(bins)] == EMPTY:
            missing -= _deal(shingles, turn, bins)
        if missing == 0:
            break


@kernel
def sign(text: Bytes, ends_S: Ints, ends_D: Ints, fold: Letters, length: int, words: Hashes, out: Signatures) -> None:
    """Sign documents, given the borders of documents in sentences and of sentences in bytes."""
    bins = np.empty(out.shape[1], np.uint64)
    for document in range(len(ends_D) - 1):
        count = 0
        for at in range(ends_D[document], ends_D[document + 1]):
            count = hash_words(text, ends_S[at], ends_S[at + 1], fold, words, count)
        if count == 0:
            out[document] = NOTHING
            continue
        _sketch(words[: _roll(words[:count], length)], bins)
        for at in range(len(bins)):
            out[document, at] = np.uint32(bins[at] & LOW)


@kernel
def hash_bands(signatures_DP: Signatures, keys_DB: Hashes) -> None:
    """Hash each band to a key."""
    bands = keys_DB.shape[1]
    rows = signatures_DP.shape[1] // bands
    for document in range(len(keys_DB)):
        for band in range(bands):
            key, worded = FNV_OFFSET + np.uint64(band) * GOLDEN, False
            for at in range(band * rows, (band + 1) * rows):
                number = signatures_DP[document, at]
                worded |= number != NOTHING
                key = mix(key ^ np.uint64(number))
            keys_DB[document, band] = key if worded else EMPTY


@kernel
def agree(signatures_DP: Signatures, first: int, second: int, least: int) -> bool:
    """Say whether two signatures agree in at least `least` of their numbers."""
    permutations = signatures_DP.shape[1]
    begin, found = 0, 0
    while begin < permutations and found + permutations - begin >= least:
        end = min(begin + 32, permutations)
        for at in range(begin, end):
            found += signatures_DP[first, at] == signatures_DP[second, at]
        begin = end
    return found >= least


@kernel
def link(signatures_DP: Signatures, borders: Ints, least: int, links: Ints) -> int:
    """Walk each group from pivot to pivot, linking to it what is like it and not linked yet; return how many links.

    The line of a group holds the pivots done, those waiting, and the rest: the waiting and the done are one cluster.
    """
    count = 0
    for group in range(len(borders) - 1):
        line = np.arange(borders[group], borders[group + 1])
        linked = 0
        for at in range(len(line)):
            linked = max(linked, at + 1)
            for other in range(linked, len(line)):
                if agree(signatures_DP, line[at], line[other], least):
                    links[count, 0], links[count, 1] = line[at], line[other]
                    count += 1
                    line[other], line[linked] = line[linked], line[other]
                    linked += 1
    return count


@kernel
def unite(pairs: Ints, roots: Ints) -> None:
    """Join the trees of each pair under the lesser root, then point everything at its root."""
    for pair in range(len(pairs)):
        first, second = pairs[pair, 0], pairs[pair, 1]
        while roots[first] != first:
            roots[first] = roots[roots[first]]
            first = roots[first]
        while roots[second] != second:
            roots[second] = roots[roots[second]]
            second = roots[second]
        roots[max(first, second)] = min(first, second)
    for at in range(len(roots)):
        roots[at] = roots[roots[at]]


@kernel
def lead(signatures_DP: Signatures, borders: Ints, least: int, kept: Ints) -> None:
    """Give each document, in order, to the first kept one of its group that is like it; else it is kept itself."""
    for group in range(len(borders) - 1):
        leaders = np.empty(borders[group + 1] - borders[group], np.int64)
        count = 0
        for document in range(borders[group], borders[group + 1]):
            at = 0
            while at < count and not agree(signatures_DP, leaders[at], document, least):
                at += 1
            if at == count:
                leaders[count] = document
                count += 1
            kept[document] = leaders[at]
