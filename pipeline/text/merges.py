"""Byte-pair merges learned from word counts: the same counts give the same merges, in whatever order they come.

The library's trainers number pieces in the order of a hash map, so ties between equally frequent pairs fall
differently in each run. Here pieces are numbered in a fixed order and ties go to the pair of lowest numbers.

Piece number n is written as the character chr(n), a word as a string of them and a pair as two: then replacing a pair
is `str.replace`, listing pairs is a map, and the order of pairs is the order of strings. A merge touches only the words
that hold its pair, and the heap of pairs is lazy: a count that has fallen since it was pushed is pushed again.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add
from typing import NamedTuple


class Pieces(NamedTuple):
    """A learned vocabulary: pieces in the order of their ids, and the merges that made them, first learned first."""

    pieces: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]


class _Words:
    """Words, with the count of every pair of neighbours and the words to look for it in."""

    def __init__(self, words: list[str], counts: list[int]) -> None:
        self.words = words
        self.counts = counts
        self.pair_counts: dict[str, int] = defaultdict(int)
        self.pair_words: dict[str, list[int]] = defaultdict(list)
        for at, word in enumerate(words):
            for pair in map(add, word, word[1:]):
                self.pair_counts[pair] += counts[at]
                self.pair_words[pair].append(at)

    def merge(self, pair: str, new: str) -> set[str]:
        """Replace the pair by the new piece wherever it stands; return the pairs that this made more frequent."""
        more: set[str] = set()
        for at in self.pair_words.pop(pair):
            before = self.words[at]
            after = self.words[at] = before.replace(pair, new)
            if len(after) < len(before):  # else an earlier merge has taken the pair apart
                self._count(before, -self.counts[at])
                self._count(after, self.counts[at])
                more.update(self._note(at, after, new))
        self.pair_counts.pop(pair, None)
        return more

    def _count(self, word: str, count: int) -> None:
        pair_counts = self.pair_counts
        for pair in map(add, word, word[1:]):
            pair_counts[pair] += count

    def _note(self, at: int, word: str, new: str) -> list[str]:
        """Note where the pairs of the new piece stand; to note one twice does no harm."""
        pairs = [pair for pair in map(add, word, word[1:]) if new in pair]
        for pair in pairs:
            self.pair_words[pair].append(at)
        return pairs


def learn(
    words: Mapping[str, int],
    pieces: Sequence[str],
    *,
    size: int,
    symbols_of: Callable[[str], Iterable[str]],
    joined: Callable[[str, str], str],
    minimum_count: int,
) -> Pieces:
    """Merge the most frequent pair of neighbours until there are `size` pieces or no pair is frequent enough.

    `pieces` are there from the start (specials and alphabet); `symbols_of` cuts a word into some of them, and `joined`
    names the piece that two make. Of equally frequent pairs the one with the lowest numbers is merged.

    Source: Sennrich et al. 2016, algorithm 1; the order of ties is that of Hugging Face tokenizers' `BpeTrainer`.
    """
    names, merges = list(pieces), dict[tuple[str, str], None]()
    letters = {piece: chr(at) for at, piece in enumerate(pieces)}
    ordered = sorted(words)
    table = _Words(["".join(map(letters.__getitem__, symbols_of(w))) for w in ordered], [words[w] for w in ordered])
    heap = [(-count, pair) for pair, count in table.pair_counts.items()]
    heapq.heapify(heap)
    while len(names) < size and (pair := _pop(heap, table.pair_counts, minimum_count)) is not None:
        left, right = (names[ord(letter)] for letter in pair)
        piece = joined(left, right)
        if piece not in letters:  # two pairs may make the same piece
            letters[piece] = chr(len(names))
            names.append(piece)
        merges[left, right] = None  # a pair that such a piece brings back keeps its first place
        for more in table.merge(pair, letters[piece]):
            heapq.heappush(heap, (-table.pair_counts[more], more))
    return Pieces(tuple(names), tuple(merges))


def _pop(heap: list[tuple[int, str]], counts: Mapping[str, int], minimum_count: int) -> str | None:
    """Take the most frequent pair off the heap, putting back those whose count has fallen since they were pushed."""
    while heap:
        pushed, pair = heapq.heappop(heap)
        count = counts.get(pair, 0)
        if count == -pushed:
            return pair if count >= minimum_count else None
        if count > 0:
            heapq.heappush(heap, (-count, pair))
    return None
