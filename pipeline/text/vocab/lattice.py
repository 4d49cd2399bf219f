"""All ways to cut words into pieces, weighed: expectations over them, the likeliest, and what a piece is worth.

A word is walked in a trie of the pieces from each of its positions.

Letters: W words, C characters of all words, P pieces, T slots of the trie's table, N nodes of the trie.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernel import kernel
from pipeline.text.columns import borders
from pipeline.text.vocab.spelling import Spelled

MOST_SEED_WORDS = 1 << 17
"""Seeds are looked for in the commonest words only, which bounds the memory at about 250 MB."""
CHARACTER_BITS = 21
NEVER = -1e300
"""A log-probability below all others that adds up without becoming infinite."""

Numbers = NDArray[np.int64]
Letters = NDArray[np.int32]
Scores = NDArray[np.float64]


class Trie(NamedTuple):
    """Pieces by their characters: the child of node n by character c has the key n << 21 | c; the root is node 0."""

    keys_T: Numbers  # -1 where the slot is empty
    nodes_T: Letters
    pieces_N: Letters  # the piece that ends at a node, or -1


def seeds(spelled: Spelled, longest: int, most: int) -> tuple[list[str], Scores]:
    """Find the characters, and the substrings that cover most text (count times length) and occur at least twice.

    Returns them with their counts, in the order of their first appearance.
    """
    letters_C, begins_W, counts_W = _commonest(spelled)
    lengths_W = np.diff(begins_W)
    short_W = np.minimum(lengths_W, longest)
    most_nodes = int((lengths_W * short_W - short_W * (short_W - 1) // 2).sum())  # all substrings of all words
    counts, at, lengths = _count_substrings(letters_C, begins_W, counts_W, longest, most_nodes)
    gain = np.where(lengths == 1, np.inf, np.where(counts > 1, counts * lengths, 0.0))
    chosen = np.sort(np.argsort(-gain, kind="stable")[:most])
    chosen = chosen[gain[chosen] > 0]
    text = letters_C.tobytes().decode("utf-32-le")
    return [text[at[one] : at[one] + lengths[one]] for one in chosen], counts[chosen].astype(np.float64)


def expected(spelled: Spelled, pieces: Sequence[str], scores_P: Scores) -> Scores:
    """Say how often each piece is expected in the words, over all ways to cut them."""
    return _expected(*spelled, *_trie(pieces), scores_P)


def losses(spelled: Spelled, pieces: Sequence[str], scores_P: Scores) -> Scores:
    """Say how much less likely the text would be without each piece; -inf for pieces that nothing needs."""
    letters, at = _written(pieces)
    return _losses(letters, at, *_trie(pieces), scores_P, counted(spelled, pieces, scores_P))


def counted(spelled: Spelled, pieces: Sequence[str], scores_P: Scores) -> Scores:
    """Count the pieces of the words, each cut in its likeliest way."""
    return _counted_in_best(*spelled, *_trie(pieces), scores_P)


def digamma(values: Scores) -> Scores:
    """Give the derivative of the logarithm of the gamma function (recurrence, then the asymptotic series)."""
    shifted, sum_ = values.copy(), np.zeros_like(values)
    for _ in range(7):
        small = shifted < 7
        sum_[small] -= 1 / shifted[small]
        shifted[small] += 1
    shifted -= 0.5
    inverse = 1 / (shifted * shifted)
    series = inverse / 24 - inverse**2 * 7 / 960 + inverse**3 * 31 / 8064 - inverse**4 * 127 / 30720
    return np.asarray(sum_ + np.log(shifted) + series)


def _commonest(spelled: Spelled) -> Spelled:
    if len(spelled.counts_W) <= MOST_SEED_WORDS:
        return spelled
    chosen_W = np.zeros(len(spelled.counts_W), dtype=np.bool_)
    chosen_W[np.argsort(-spelled.counts_W, kind="stable")[:MOST_SEED_WORDS]] = True
    lengths_W = np.diff(spelled.begins_W)
    kept_C = np.repeat(chosen_W, lengths_W)
    return Spelled(spelled.characters_C[kept_C], borders(lengths_W[chosen_W]), spelled.counts_W[chosen_W])


def _written(pieces: Sequence[str]) -> tuple[Letters, Numbers]:
    letters = np.frombuffer("".join(pieces).encode("utf-32-le"), dtype=np.int32)
    return letters, borders(map(len, pieces))


def _trie(pieces: Sequence[str]) -> Trie:
    letters, at = _written(pieces)
    slots = 1 << max(2 * len(letters), 4).bit_length()
    keys_T, nodes_T = np.full(slots, -1, dtype=np.int64), np.zeros(slots, dtype=np.int32)
    pieces_N = np.full(len(letters) + 1, -1, dtype=np.int32)
    _grow(letters, at, keys_T, nodes_T, pieces_N)
    return Trie(keys_T, nodes_T, pieces_N)


@kernel
def _scattered(key: int) -> int:
    """Scatter the bits of a key (the finaliser of splitmix64)."""
    bits = np.uint64(key)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((bits ^ (bits >> np.uint64(31))) >> np.uint64(1))


@kernel
def _slot(keys_T: Numbers, key: int) -> int:
    """Find the slot of a key, or the empty one where it belongs."""
    slot = _scattered(key) & (len(keys_T) - 1)
    while keys_T[slot] >= 0 and keys_T[slot] != key:
        slot = (slot + 1) & (len(keys_T) - 1)
    return slot


@kernel
def _grow(letters: Letters, at: Numbers, keys_T: Numbers, nodes_T: Letters, pieces_N: Letters) -> None:
    nodes = 1
    for piece in range(len(at) - 1):
        node = 0
        for letter in range(at[piece], at[piece + 1]):
            slot = _slot(keys_T, node << CHARACTER_BITS | letters[letter])
            if keys_T[slot] < 0:
                keys_T[slot] = node << CHARACTER_BITS | letters[letter]
                nodes_T[slot] = nodes
                nodes += 1
            node = nodes_T[slot]
        pieces_N[node] = piece


@kernel
def _count_substrings(
    letters_C: Letters, begins_W: Numbers, counts_W: Numbers, longest: int, most_nodes: int
) -> tuple[Numbers, Letters, Letters]:
    """Count substrings as nodes of a trie of all of them; gives counts, where each first stands, and lengths."""
    slots = 4
    while slots <= most_nodes:
        slots *= 2
    keys_T = np.full(slots, -1, np.int64)
    nodes_T = np.zeros(slots, np.int32)
    counts = np.zeros(most_nodes + 1, np.int64)
    first = np.zeros(most_nodes + 1, np.int32)
    lengths = np.zeros(most_nodes + 1, np.int32)
    nodes = 1
    for word in range(len(counts_W)):
        for begin in range(begins_W[word], begins_W[word + 1]):
            node = 0
            for end in range(begin, min(begin + longest, begins_W[word + 1])):
                key = node << CHARACTER_BITS | letters_C[end]
                slot = _slot(keys_T, key)
                if keys_T[slot] < 0:
                    keys_T[slot] = key
                    nodes_T[slot] = nodes
                    first[nodes], lengths[nodes] = begin, end + 1 - begin
                    nodes += 1
                node = nodes_T[slot]
                counts[node] += counts_W[word]
    return counts[1:nodes].copy(), first[1:nodes].copy(), lengths[1:nodes].copy()


@kernel
def _edges(
    letters_C: Letters,
    begin: int,
    end: int,
    keys_T: Numbers,
    nodes_T: Letters,
    pieces_N: Letters,
    from_E: Letters,
    to_E: Letters,
    piece_E: Letters,
) -> int:
    """List the pieces that stand in a word: from where to where; returns how many."""
    edges = 0
    for start in range(begin, end):
        node = 0
        for at in range(start, end):
            slot = _slot(keys_T, node << CHARACTER_BITS | letters_C[at])
            if keys_T[slot] < 0:
                break
            node = nodes_T[slot]
            if pieces_N[node] >= 0:
                from_E[edges], to_E[edges], piece_E[edges] = start - begin, at + 1 - begin, pieces_N[node]
                edges += 1
    return edges


@kernel
def _added(left: float, right: float) -> float:
    """Add two probabilities given by their logarithms."""
    high, low = max(left, right), min(left, right)
    return high if low < high - 50 else high + math.log1p(math.exp(low - high))


@kernel
def _expected(
    letters_C: Letters,
    begins_W: Numbers,
    counts_W: Numbers,
    keys_T: Numbers,
    nodes_T: Letters,
    pieces_N: Letters,
    scores_P: Scores,
) -> Scores:
    expected_P = np.zeros(len(scores_P), np.float64)
    longest = np.max(np.diff(begins_W)) if len(counts_W) else 0
    from_E = np.zeros(longest * longest + 1, np.int32)
    to_E = np.zeros(longest * longest + 1, np.int32)
    piece_E = np.zeros(longest * longest + 1, np.int32)
    before, after = np.zeros(longest + 1), np.zeros(longest + 1)
    for word in range(len(counts_W)):
        begin, end = begins_W[word], begins_W[word + 1]
        length = end - begin
        edges = _edges(letters_C, begin, end, keys_T, nodes_T, pieces_N, from_E, to_E, piece_E)
        for at in range(length + 1):
            before[at] = after[at] = NEVER
        before[0] = after[length] = 0.0
        for edge in range(edges):  # in the order of where they begin
            score = before[from_E[edge]] + scores_P[piece_E[edge]]
            before[to_E[edge]] = _added(before[to_E[edge]], score)
        for edge in range(edges - 1, -1, -1):
            score = after[to_E[edge]] + scores_P[piece_E[edge]]
            after[from_E[edge]] = _added(after[from_E[edge]], score)
        for edge in range(edges):
            share = before[from_E[edge]] + scores_P[piece_E[edge]] + after[to_E[edge]] - before[length]
            expected_P[piece_E[edge]] += counts_W[word] * math.exp(share)
    return expected_P


@kernel
def _counted_in_best(
    letters_C: Letters,
    begins_W: Numbers,
    counts_W: Numbers,
    keys_T: Numbers,
    nodes_T: Letters,
    pieces_N: Letters,
    scores_P: Scores,
) -> Scores:
    """Count the pieces of the likeliest way to cut each word."""
    counts_P = np.zeros(len(scores_P), np.float64)
    longest = np.max(np.diff(begins_W)) if len(counts_W) else 0
    from_E = np.zeros(longest * longest + 1, np.int32)
    to_E = np.zeros(longest * longest + 1, np.int32)
    piece_E = np.zeros(longest * longest + 1, np.int32)
    best, last = np.zeros(longest + 1), np.zeros(longest + 1, np.int32)
    for word in range(len(counts_W)):
        begin, end = begins_W[word], begins_W[word + 1]
        edges = _edges(letters_C, begin, end, keys_T, nodes_T, pieces_N, from_E, to_E, piece_E)
        _find_best(edges, end - begin, from_E, to_E, piece_E, scores_P, -1, best, last)
        at = end - begin
        while at > 0:
            counts_P[piece_E[last[at]]] += counts_W[word]
            at = from_E[last[at]]
    return counts_P


@kernel
def _losses(
    letters: Letters,
    begins_P: Numbers,
    keys_T: Numbers,
    nodes_T: Letters,
    pieces_N: Letters,
    scores_P: Scores,
    counts_P: Scores,
) -> Scores:
    losses_P = np.full(len(scores_P), -np.inf)
    longest = np.max(np.diff(begins_P)) if len(counts_P) else 0
    from_E = np.zeros(longest * longest + 1, np.int32)
    to_E = np.zeros(longest * longest + 1, np.int32)
    piece_E = np.zeros(longest * longest + 1, np.int32)
    best, last = np.zeros(longest + 1), np.zeros(longest + 1, np.int32)
    running = np.sum(counts_P)
    for piece in range(len(counts_P)):
        count = counts_P[piece]
        begin, end = begins_P[piece], begins_P[piece + 1]
        if count == 0 or end - begin == 1:
            continue
        edges = _edges(letters, begin, end, keys_T, nodes_T, pieces_N, from_E, to_E, piece_E)
        _find_best(edges, end - begin, from_E, to_E, piece_E, scores_P, piece, best, last)
        if best[end - begin] > scores_P[piece]:  # its parts are likelier than the piece
            continue
        parts, at = 0, end - begin
        while at > 0:
            parts += 1
            at = from_E[last[at]]
        logarithm = math.log(running + count * (parts - 1))
        instead, at = 0.0, end - begin
        while at > 0:
            instead += math.log(counts_P[piece_E[last[at]]] + count) - logarithm
            at = from_E[last[at]]
        losses_P[piece] = count / running * (math.log(count) - math.log(running) - instead)
    return losses_P


@kernel
def _find_best(
    edges: int,
    length: int,
    from_E: Letters,
    to_E: Letters,
    piece_E: Letters,
    scores_P: Scores,
    without: int,
    best: Scores,
    last: Letters,
) -> None:
    """Find the likeliest way through a word without one piece; `last` gets the edge that each position is reached by."""
    for at in range(length + 1):
        best[at] = NEVER
    best[0] = 0.0
    for edge in range(edges):  # in the order of where they begin
        score = best[from_E[edge]] + scores_P[piece_E[edge]]
        if piece_E[edge] != without and score > best[to_E[edge]]:
            best[to_E[edge]] = score
            last[to_E[edge]] = edge
