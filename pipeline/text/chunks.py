"""Text cut at lone spaces into chunks, each distinct chunk numbered once: what is done to a chunk is done once.

A space between two visible characters ends a word in every algorithm, whatever surrounds it, so the words (and tokens)
of a text are those of its chunks, one after another. Every other stretch of whitespace stays inside a chunk, as does a
space beside a character that a normaliser may remove or move: combining marks, controls, formats, unassigned.

Letters: B bytes, S sentences, C distinct chunks, N chunks as they occur.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core.kernel import kernel
from pipeline.text.columns import borders, strings_between

SPACE, TILDE = 0x20, 0x7E
PLAIN, TIDY, ALONE = range(3)
"""Printable ASCII; beginning and ending with a visible character, so that a space may join it to others; neither."""
FIRST_ROOM = 1 << 12  # chunks; doubled whenever full
BYTES_A_CHUNK = 8
PLANE = 1 << 16
FNV_START, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
VISIBLE_KINDS = frozenset("LNPS")
"""Letters, numbers, punctuation and symbols: no normaliser of ours turns one into whitespace or nothing between words.

What lies beyond the first plane counts as invisible: its chunks are longer, and as exact.
"""
NOT_VISIBLE = [0x2581, 0x1CF2, 0x1CF3]
"""▁ is how Unigram writes a space; the others were marks before Unicode 12, as the tokenizers library still has it."""

Sentences = pa.StringArray | pa.LargeStringArray | Sequence[str]
Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)


class Chunks:
    """The distinct chunks met so far, in the order of their first appearance."""

    def __init__(self) -> None:
        self.count = 0
        self._slots = np.full(2 * FIRST_ROOM, -1, dtype=np.int64)
        self._hashes_C = np.zeros(FIRST_ROOM, dtype=np.uint64)
        self._ends_C = np.zeros(FIRST_ROOM + 1, dtype=np.int64)  # of their bytes; one more, so that 0 comes first
        self._held = np.zeros(FIRST_ROOM * BYTES_A_CHUNK, dtype=np.uint8)

    def number(self, sentences: Sentences) -> tuple[Numbers, Numbers]:
        """Give the number of every chunk as it occurs, [N], and how many each sentence has, [S]."""
        text_B, borders_S = flat(sentences)
        numbers_N = np.empty(most_chunks(borders_S[-1] - borders_S[0]) + len(borders_S), np.int64)
        per_S = np.zeros(len(borders_S) - 1, np.int64)
        at = made = 0
        while at < len(per_S):
            self._make_room(borders_S[at + 1] - borders_S[at])
            at, made, self.count = _number(
                text_B,
                borders_S,
                visible(),
                at,
                made,
                numbers_N,
                per_S,
                self.count,
                self._slots,
                self._hashes_C,
                self._ends_C,
                self._held,
            )
        return numbers_N[:made], per_S

    def _make_room(self, text_bytes: int) -> None:
        """Double what would not hold another such text if all its chunks were new."""
        if len(self._hashes_C) < self.count + most_chunks(text_bytes):
            room = 2 * (self.count + most_chunks(text_bytes))
            self._hashes_C = _longer(self._hashes_C, room)
            self._ends_C = _longer(self._ends_C, room + 1)
            self._slots = np.full(1 << (2 * room).bit_length(), -1, dtype=np.int64)
            _place(self._slots, self._hashes_C[: self.count])
        if len(self._held) < self._ends_C[self.count] + text_bytes:
            self._held = _longer(self._held, 2 * int(self._ends_C[self.count] + text_bytes))

    def since(self, first: int) -> pa.LargeStringArray:
        """Give the chunks from number `first` on."""
        ends = self._ends_C[first : self.count + 1]
        return strings_between(ends, self._held[: ends[-1]])

    def kinds(self, first: int = 0) -> NDArray[np.uint8]:
        """Say of every chunk from number `first` on whether it is PLAIN, TIDY or must stay ALONE."""
        return _kinds(self._held, self._ends_C[first : self.count + 1], visible())


def most_chunks(text_bytes: int) -> int:
    """Bound how many chunks a text may have: each has a byte, and a space lies between two."""
    return int(text_bytes) // 2 + 1


def flat(sentences: Sentences) -> tuple[Bytes, Numbers]:
    """View sentences as their bytes and the S + 1 borders between them."""
    if not isinstance(sentences, pa.Array):
        encoded = [sentence.encode() for sentence in sentences]
        return np.frombuffer(b"".join(encoded), dtype=np.uint8), borders(map(len, encoded))
    if len(sentences) == 0:
        return np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    offsets: Any
    data: Any
    _, offsets, data = sentences.buffers()
    width = np.int64 if pa.types.is_large_string(sentences.type) else np.int32
    offsets_S = np.frombuffer(offsets, dtype=width)[sentences.offset : sentences.offset + len(sentences) + 1]
    text_B = np.frombuffer(data, dtype=np.uint8) if data else np.zeros(0, dtype=np.uint8)
    return text_B, offsets_S.astype(np.int64)


def _longer(array: NDArray[Number], length: int) -> NDArray[Number]:
    longer = np.zeros(length, dtype=array.dtype)
    longer[: len(array)] = array
    return longer


@cache
def visible() -> NDArray[np.bool_]:
    """Say of every character of the first plane whether a space beside it is a border."""
    kinds = (unicodedata.category(chr(at))[0] for at in range(PLANE))
    visible = np.fromiter((kind in VISIBLE_KINDS for kind in kinds), dtype=np.bool_, count=PLANE)
    visible[NOT_VISIBLE] = False
    return visible


@kernel
def _number(  # noqa: C901
    text_B: Bytes,
    borders_S: Numbers,
    visible: NDArray[np.bool_],
    at: int,
    made: int,
    numbers_N: Numbers,
    per_S: Numbers,
    count: int,
    slots: Numbers,
    hashes_C: NDArray[np.uint64],
    ends_C: Numbers,
    held: Bytes,
) -> tuple[int, int, int]:
    """Number the chunks of sentences until all are done or the next might not fit; says which that is.

    One long loop, because a call that is given arrays costs more than the work on a chunk (100 against 20 ns).
    """
    mask = np.uint64(len(slots) - 1)
    for s in range(at, len(per_S)):
        begin, stop = borders_S[s], borders_S[s + 1]
        if len(hashes_C) < count + (stop - begin) // 2 + 1 or len(held) < ends_C[count] + stop - begin:
            return s, made, count
        before = made
        while begin < stop:
            hashed = np.uint64(FNV_START)
            end = begin
            while end < stop:
                byte = text_B[end]
                if byte == SPACE and begin < end < stop - 1:
                    left, right = text_B[end - 1], text_B[end + 1]
                    if left < 0x80 and right < 0x80:
                        if visible[left] and visible[right]:
                            break
                    elif _is_border(text_B, begin, end, stop, visible):
                        break
                hashed = (hashed ^ np.uint64(byte)) * np.uint64(FNV_PRIME)
                end += 1
            hashed ^= hashed >> np.uint64(29)
            slot = np.int64(hashed & mask)
            known = slots[slot]
            while known >= 0:
                if hashes_C[known] == hashed and ends_C[known + 1] - ends_C[known] == end - begin:
                    shift = ends_C[known] - begin
                    same = begin
                    while same < end and text_B[same] == held[same + shift]:
                        same += 1
                    if same == end:
                        break
                slot = np.int64(np.uint64(slot + 1) & mask)
                known = slots[slot]
            if known < 0:
                known = count
                slots[slot] = count
                hashes_C[count] = hashed
                shift = ends_C[count] - begin
                for copied in range(begin, end):
                    held[copied + shift] = text_B[copied]
                ends_C[count + 1] = end + shift
                count += 1
            numbers_N[made] = known
            made += 1
            begin = end + 1
        per_S[s] = made - before
    return len(per_S), made, count


@kernel
def _is_border(text_B: Bytes, begin: int, at: int, stop: int, visible: NDArray[np.bool_]) -> bool:
    return _visible_before(text_B, begin, at, visible) and _visible_at(text_B, at + 1, stop, visible)


@kernel
def _visible_before(text_B: Bytes, begin: int, at: int, visible: NDArray[np.bool_]) -> bool:
    first = at - 1
    while first > begin and text_B[first] & 0xC0 == 0x80:
        first -= 1
    return first >= begin and _visible_at(text_B, first, at, visible)


@kernel
def _visible_at(text_B: Bytes, at: int, stop: int, visible: NDArray[np.bool_]) -> bool:
    if at >= stop:
        return False
    byte = np.int64(text_B[at])
    if byte < 0x80:
        return bool(visible[byte])
    if byte < 0xE0:
        return bool(visible[(byte & 0x1F) << 6 | text_B[at + 1] & 0x3F])
    if byte < 0xF0:
        return bool(visible[(byte & 0x0F) << 12 | (text_B[at + 1] & 0x3F) << 6 | text_B[at + 2] & 0x3F])
    return False


@kernel
def _place(slots: Numbers, hashes_C: NDArray[np.uint64]) -> None:
    mask = np.uint64(len(slots) - 1)
    for number in range(len(hashes_C)):
        slot = np.int64(hashes_C[number] & mask)
        while slots[slot] >= 0:
            slot = np.int64(np.uint64(slot + 1) & mask)
        slots[slot] = number


@kernel
def _kinds(held: Bytes, ends_C: Numbers, visible: NDArray[np.bool_]) -> NDArray[np.uint8]:
    kinds_C = np.full(len(ends_C) - 1, PLAIN, np.uint8)
    for number in range(len(kinds_C)):
        begin, end = ends_C[number], ends_C[number + 1]
        for at in range(begin, end):
            if held[at] <= SPACE or held[at] > TILDE:
                tidy = _visible_at(held, begin, end, visible) and _visible_before(held, begin, end, visible)
                kinds_C[number] = TIDY if tidy else ALONE
                break
    return kinds_C
