"""Byte-pair merges learned from word counts: the same counts give the same merges, in whatever order they come.

The library's trainers number pieces in the order of a hash map, so ties between equally frequent pairs fall
differently in each run. Here pieces are numbered in a fixed order and ties go to the pair of lowest numbers.

A pair is one number, left << 32 | right. A table holds how often each pair stands, and a list of the words to look for it
in, which may name a word in vain or twice. A merge touches only those words. The heap of pairs is lazy: a pair whose count
has fallen since it was pushed is pushed again.

Letters: W words, C symbols of all words, P pairs, T slots of the table, L entries of the lists.
"""

import heapq
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernel import kernel
from pipeline.text.columns import borders
from pipeline.text.vocab.algorithm import Pieces
from pipeline.text.vocab.spelling import Spelled

MINIMUM_PAIR_COUNT = 2
"""A pair seen once teaches nothing (Hugging Face `BertWordPieceTokenizer`)."""
FIRST_ROOM = 1 << 16

Numbers = NDArray[np.int64]
Symbols = NDArray[np.int32]


class Pairs(NamedTuple):
    """Pairs in the order of their first appearance, and where to find each."""

    slots_T: Symbols  # number of the pair there, or -1
    keys_P: Numbers
    counts_P: Numbers
    heads_P: Symbols  # the first entry of its list, 0 if it is empty
    listed_P: Numbers  # the length of its list
    pushed_P: Symbols  # the last merge after which it was put on the heap
    words_L: Symbols
    pairs_L: Symbols
    next_L: Symbols  # the next entry of the same pair, or 0
    used: Numbers  # how many pairs there are, and how many entries with the empty first one


class Names(NamedTuple):
    """Pieces by how they are written: piece p is letters[at[p] : at[p + 1]], marked unless begin[p]."""

    slots_T: Symbols
    letters: Symbols
    at: Numbers
    begin: NDArray[np.bool_]


def merge(
    words: Spelled, pieces: Sequence[str], begins: Sequence[bool], *, size: int, joined: Callable[[str, str], str]
) -> Pieces:
    """Merge the most frequent pair of neighbours until there are `size` pieces or no pair is frequent enough.

    `pieces` are there from the start (specials and alphabet), words are spelled in their numbers, `begins` says which are
    written without a mark; `joined` names the piece that two make. Of equally frequent pairs the one with the lowest
    numbers is merged.

    Source: Sennrich et al. 2016, algorithm 1; the order of ties is that of Hugging Face tokenizers' `BpeTrainer`.
    """
    unmarked = [piece if begin else joined("", piece) for piece, begin in zip(pieces, begins, strict=True)]
    spelled = np.frombuffer("".join(unmarked).encode("utf-32-le"), dtype=np.int32)
    learned = _learn(
        words.characters_C.copy(),
        words.begins_W,
        words.counts_W,
        spelled,
        borders(map(len, unmarked)),
        np.array(begins, dtype=np.bool_),
        size,
        MINIMUM_PAIR_COUNT,
    )
    names, merges = list(pieces), dict[tuple[str, str], None]()
    for left, right, made in learned:
        if made == len(names):  # else another pair has made the same piece before
            names.append(joined(names[left], names[right]))
        merges[names[left], names[right]] = None  # a pair that such a piece brings back keeps its first place
    return Pieces(tuple(names), tuple(merges))


@kernel
def _learn(
    symbols_C: Symbols,
    begins_W: Numbers,
    counts_W: Numbers,
    spelled: Symbols,
    spelled_at: Numbers,
    begins: NDArray[np.bool_],
    size: int,
    minimum: int,
) -> list[tuple[int, int, int]]:
    """List the merges: left, right and the number of the piece that they make."""
    lengths_W = np.diff(begins_W)
    pairs = _pairs(FIRST_ROOM, FIRST_ROOM)
    for word in range(len(counts_W)):
        pairs = _with_room(pairs, lengths_W[word])
        begin = begins_W[word]
        for at in range(begin, begin + lengths_W[word] - 1):
            _count(pairs, symbols_C[at], symbols_C[at + 1], counts_W[word], word)
    heap = [(-pairs.counts_P[number], pairs.keys_P[number], number) for number in range(pairs.used[0])]
    heapq.heapify(heap)
    names = _named(spelled, spelled_at, begins, size)
    learned = [(0, 0, 0) for _ in range(0)]
    count = len(begins)
    while count < size:
        pair = _pop(heap, pairs.counts_P, minimum)
        if pair < 0:
            break
        left, right = pairs.keys_P[pair] >> 32, pairs.keys_P[pair] & 0xFFFFFFFF
        names, piece = _join(names, left, right, count)
        count += piece == count
        learned.append((left, right, piece))
        pairs = _with_room(pairs, 2 * pairs.listed_P[pair])
        first = pairs.used[1]
        _replace(pairs, pair, piece, symbols_C, begins_W, lengths_W, counts_W)
        _push(heap, pairs, first, len(learned))
    return learned


@kernel
def _replace(
    pairs: Pairs,
    pair: int,
    piece: int,
    symbols_C: Symbols,
    begins_W: Numbers,
    lengths_W: Numbers,
    counts_W: Numbers,
) -> None:
    """Write the piece wherever the pair stands, from left to right, and count the neighbours anew."""
    left, right = pairs.keys_P[pair] >> 32, pairs.keys_P[pair] & 0xFFFFFFFF
    entry = pairs.heads_P[pair]
    while entry > 0:
        word = pairs.words_L[entry]
        entry = pairs.next_L[entry]
        begin, end, count = begins_W[word], begins_W[word] + lengths_W[word], counts_W[word]
        source = target = begin
        while source < end:
            if source + 1 < end and symbols_C[source] == left and symbols_C[source + 1] == right:
                before = symbols_C[target - 1] if target > begin else -1
                after = symbols_C[source + 2] if source + 2 < end else -1
                for step in range(5):  # one call, because wherever it stands it is compiled anew
                    one = before if step in (1, 3) else left if step == 0 else right if step == 2 else piece
                    other = right if step == 0 else left if step == 1 else piece if step == 3 else after
                    if one >= 0 and other >= 0:
                        _count(pairs, one, other, count if step > 2 else -count, word if step > 2 else -1)
                symbols_C[target] = piece
                source += 2
            else:
                symbols_C[target] = symbols_C[source]
                source += 1
            target += 1
        lengths_W[word] = target - begin
    pairs.heads_P[pair] = 0
    pairs.listed_P[pair] = 0


@kernel
def _count(pairs: Pairs, left: int, right: int, count: int, word: int) -> None:
    """Add to the count of a pair; if a word is given, list it for the pair unless it was the last one listed."""
    key = np.int64(left) << 32 | np.int64(right)
    mask = np.uint64(len(pairs.slots_T) - 1)
    slot = _hash(np.uint64(key)) & mask
    while pairs.slots_T[slot] >= 0 and pairs.keys_P[pairs.slots_T[slot]] != key:
        slot = (slot + np.uint64(1)) & mask
    number = np.int64(pairs.slots_T[slot])
    if number < 0:
        number = pairs.used[0]
        pairs.used[0] += 1
        pairs.slots_T[slot] = number
        pairs.keys_P[number] = key
    pairs.counts_P[number] += count
    if word >= 0 and (pairs.heads_P[number] == 0 or pairs.words_L[pairs.heads_P[number]] != word):
        entry = pairs.used[1]
        pairs.used[1] += 1
        pairs.words_L[entry] = word
        pairs.pairs_L[entry] = number
        pairs.next_L[entry] = pairs.heads_P[number]
        pairs.heads_P[number] = entry
        pairs.listed_P[number] += 1


@kernel
def _pop(heap: list[tuple[int, int, int]], counts_P: Numbers, minimum: int) -> int:
    """Take the most frequent pair off the heap, putting back those whose count has fallen since they were pushed."""
    while len(heap) > 0:
        pushed, key, pair = heapq.heappop(heap)
        if counts_P[pair] == -pushed:
            return pair if -pushed >= minimum else -1
        if counts_P[pair] > 0:
            heapq.heappush(heap, (int(-counts_P[pair]), key, pair))
    return -1


@kernel
def _push(heap: list[tuple[int, int, int]], pairs: Pairs, first: int, merge: int) -> None:
    """Put the pairs on the heap for which words were listed since entry `first`, each once."""
    for entry in range(first, pairs.used[1]):
        pair = np.int64(pairs.pairs_L[entry])
        if pairs.pushed_P[pair] != merge and pairs.counts_P[pair] > 0:
            pairs.pushed_P[pair] = merge
            heapq.heappush(heap, (int(-pairs.counts_P[pair]), int(pairs.keys_P[pair]), int(pair)))


@kernel
def _pairs(pairs: int, entries: int) -> Pairs:
    return Pairs(
        np.full(4 * pairs, -1, np.int32),
        np.zeros(pairs, np.int64),
        np.zeros(pairs, np.int64),
        np.zeros(pairs, np.int32),
        np.zeros(pairs, np.int64),
        np.zeros(pairs, np.int32),
        np.zeros(entries, np.int32),
        np.zeros(entries, np.int32),
        np.zeros(entries, np.int32),
        np.array([0, 1]),
    )


@kernel
def _with_room(pairs: Pairs, more: int) -> Pairs:
    """Double what would not hold that many more pairs and entries."""
    if pairs.used[0] + more <= len(pairs.keys_P) and pairs.used[1] + more <= len(pairs.words_L):
        return pairs
    room = len(pairs.keys_P)
    while room < pairs.used[0] + more:
        room *= 2
    entries = len(pairs.words_L)
    while entries < pairs.used[1] + more:
        entries *= 2
    larger = Pairs(
        np.full(4 * room, -1, np.int32),
        _longer(pairs.keys_P, room),
        _longer(pairs.counts_P, room),
        _longer(pairs.heads_P, room),
        _longer(pairs.listed_P, room),
        _longer(pairs.pushed_P, room),
        _longer(pairs.words_L, entries),
        _longer(pairs.pairs_L, entries),
        _longer(pairs.next_L, entries),
        pairs.used,
    )
    mask = np.uint64(len(larger.slots_T) - 1)
    for number in range(pairs.used[0]):
        slot = _hash(np.uint64(larger.keys_P[number])) & mask
        while larger.slots_T[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        larger.slots_T[slot] = number
    return larger


@kernel
def _longer(array: Any, length: int) -> Any:
    """Copy an array into a longer one; slices would take ten times as long to compile."""
    longer = np.zeros(length, array.dtype)
    for at in range(len(array)):
        longer[at] = array[at]
    return longer


@kernel
def _hash(key: np.uint64) -> np.uint64:
    """Scatter the bits of a key (the finaliser of splitmix64)."""
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


@kernel
def _named(spelled: Symbols, spelled_at: Numbers, begins: NDArray[np.bool_], size: int) -> Names:
    """Make the table of pieces by name; names longer than the first room make it larger as they come."""
    letters, at = _longer(spelled, len(spelled) + 16 * size), _longer(spelled_at, max(size, len(begins)) + 1)
    begin = np.zeros(max(size, len(begins)), np.bool_)
    for piece in range(len(begins)):
        begin[piece] = begins[piece]
    slots = 8
    while slots < 4 * size:
        slots *= 2
    names = Names(np.full(slots, -1, np.int32), letters, at, begin)
    for piece in range(len(begins)):
        names.slots_T[_name_slot(names, piece)] = piece
    return names


@kernel
def _join(names: Names, left: int, right: int, count: int) -> tuple[Names, int]:
    """Find the piece that two make, or make it number `count`."""
    at = names.at
    longer = at[left + 1] - at[left] + at[right + 1] - at[right]
    if at[count] + longer > len(names.letters):
        names = Names(names.slots_T, _longer(names.letters, 2 * len(names.letters) + longer), at, names.begin)
    end = at[count]
    for part in (left, right):
        for letter in range(at[part], at[part + 1]):
            names.letters[end] = names.letters[letter]
            end += 1
    at[count + 1] = end
    names.begin[count] = names.begin[left]
    slot = _name_slot(names, count)
    if names.slots_T[slot] < 0:
        names.slots_T[slot] = count
    return names, int(names.slots_T[slot])


@kernel
def _name_slot(names: Names, piece: int) -> np.uint64:
    """Find the slot of the piece that is written as this one is, or the empty one where it belongs."""
    mask = np.uint64(len(names.slots_T) - 1)
    begin, end = names.at[piece], names.at[piece + 1]
    hashed = np.uint64(names.begin[piece])
    for at in range(begin, end):
        hashed = _hash(hashed ^ np.uint64(names.letters[at])) + np.uint64(1)
    slot = hashed & mask
    while names.slots_T[slot] >= 0:
        known = names.slots_T[slot]
        first = names.at[known]
        if names.begin[known] == names.begin[piece] and names.at[known + 1] - first == end - begin:
            same = 0
            while same < end - begin and names.letters[first + same] == names.letters[begin + same]:
                same += 1
            if same == end - begin:
                break
        slot = (slot + np.uint64(1)) & mask
    return slot
