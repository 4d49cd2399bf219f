"""Words as flat arrays of characters, and then of the numbers of the pieces they are spelled with.

Letters: W words, C characters of all words, K code points.
"""

from collections.abc import Mapping
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core.kernel import kernel
from pipeline.text.columns import borders, numbers_of

CODE_POINTS = 0x110000
ALPHABET = 1000
"""Characters that are kept at least, as many as Hugging Face's `WordPieceTrainer` keeps; words with others are [UNK]."""
COVERED = 0.9995
"""The share of the text that the kept ones make up; 1000 do in alphabets, not in ideographs (Kudo and Richardson 2018,
SentencePiece: `character_coverage`)."""

Numbers = NDArray[np.int64]


class Spelled(NamedTuple):
    """Words one after another: word w is characters_C[begins_W[w] : begins_W[w + 1]] and occurs counts_W[w] times.

    `characters_C` holds code points, or the numbers of pieces; `begins_W` has W + 1 borders.
    """

    characters_C: NDArray[np.int32]
    begins_W: Numbers
    counts_W: Numbers


def spell(words: pa.Table, longest: int | None) -> Spelled:
    """Lay out the words that occur at all and have at most `longest` characters."""
    texts: list[Any] = words["word"].to_pylist()
    lengths_W = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    counts_W = numbers_of(words["count"])
    kept_W = (counts_W > 0) & (lengths_W > 0) & (lengths_W <= (longest or lengths_W.max(initial=0)))
    characters_C = np.frombuffer("".join(compress(texts, kept_W)).encode("utf-32-le"), dtype=np.int32)
    return Spelled(characters_C, borders(lengths_W[kept_W]), counts_W[kept_W])


def alphabet(spelled: Spelled) -> set[str]:
    """Choose the characters that are kept: the commonest; of equally common ones those of lower code points.

    As many as make up `COVERED` of the text, and `ALPHABET` at least where there are so many.
    """
    counts_K = _count_characters(spelled.characters_C, spelled.begins_W, spelled.counts_W, CODE_POINTS)
    found = np.flatnonzero(counts_K)
    order = np.argsort(-counts_K[found], kind="stable")
    covered_K = np.cumsum(counts_K[found][order])
    most = int(np.searchsorted(covered_K, COVERED * covered_K[-1])) + 1 if len(found) else 0
    return {chr(character) for character in found[order[: max(ALPHABET, most)]]}


def inside(spelled: Spelled) -> set[str]:
    """Find the characters that continue a word."""
    continuing_C = np.ones(len(spelled.characters_C), dtype=np.bool_)
    continuing_C[spelled.begins_W[:-1]] = False
    return {chr(character) for character in np.unique(spelled.characters_C[continuing_C])}


def symbols(spelled: Spelled, first: Mapping[str, int], others: Mapping[str, int]) -> Spelled:
    """Write words as numbers of pieces, by other numbers for the first character; words with unknown ones are left out."""
    first_K, others_K = _table(first), _table(others)
    symbols_C = others_K[spelled.characters_C]
    symbols_C[spelled.begins_W[:-1]] = first_K[spelled.characters_C[spelled.begins_W[:-1]]]
    lengths_W = np.diff(spelled.begins_W)
    known_W = np.ones(len(lengths_W), dtype=np.bool_)
    known_W[np.repeat(np.arange(len(lengths_W)), lengths_W)[symbols_C < 0]] = False
    kept_C = np.repeat(known_W, lengths_W)
    return Spelled(symbols_C[kept_C], borders(lengths_W[known_W]), spelled.counts_W[known_W])


def _table(numbers: Mapping[str, int]) -> NDArray[np.int32]:
    table_K = np.full(CODE_POINTS, -1, dtype=np.int32)
    for character, number in numbers.items():
        table_K[ord(character)] = number
    return table_K


@kernel
def _count_characters(characters_C: NDArray[np.int32], begins_W: Numbers, counts_W: Numbers, kinds: int) -> Numbers:
    counts_K = np.zeros(kinds, np.int64)
    for word in range(len(counts_W)):
        for at in range(begins_W[word], begins_W[word + 1]):
            counts_K[characters_C[at]] += counts_W[word]
    return counts_K
