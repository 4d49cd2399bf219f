"""The likeliest pieces for given word counts: the same counts give the same pieces and scores.

Hugging Face's trainer adds up in the order of a hash map and of threads, so its scores differ from run to run. Here words
come in their order and one thread adds.

Source: Kudo 2018, Subword regularization, section 3.2; the figures are those of SentencePiece's `unigram_model_trainer`.

Letters: W words, C characters of all words, P pieces.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.text.vocab import lattice, spelling
from pipeline.text.vocab.spelling import Spelled

WORD_CHARACTERS = 100
PIECE_CHARACTERS = 16
SEEDS_A_PIECE = 10
"""Kudo starts from a million seeds for any vocabulary; ten times the vocabulary is past what survives the first round."""
ROUNDS = 2
"""Expectations and maximisations before pieces are taken away."""
KEPT = 0.75
"""The share of pieces that stays when some are taken away."""
SPARE = 1.1
"""Rounds end at this many times the size; the least likely of these go last."""
LEAST_EXPECTED = 0.5
DECIMALS = 6
"""Scores are rounded, so that the last bits of a logarithm are no part of the bytes."""

Scores = NDArray[np.float64]


def likeliest(words: pa.Table, size: int) -> list[tuple[str, float]]:
    """Find the `size` likeliest pieces with their log-probabilities, likeliest first; every character is one.

    There are fewer if the words yield no more, and more if the characters alone are.
    """
    spelled = known(spelling.spell(words, WORD_CHARACTERS))
    pieces, counts_P = lattice.seeds(spelled, PIECE_CHARACTERS, SEEDS_A_PIECE * size)
    scores_P = np.log(counts_P) - np.log(counts_P.sum()) if len(pieces) else counts_P
    while True:
        for _ in range(ROUNDS):
            pieces, scores_P = _maximised(pieces, lattice.expected(spelled, pieces, scores_P))
        if len(pieces) <= SPARE * size or not _removable(pieces):
            return _finished(pieces, scores_P, size)
        kept = max(int(SPARE * size), int(KEPT * len(pieces)))
        before = len(pieces)
        pieces, scores_P = _pruned(spelled, pieces, scores_P, kept)
        if len(pieces) == before:
            return _finished(pieces, scores_P, size)


def known(spelled: Spelled) -> Spelled:
    """Leave out words with uncommon characters, as WordPiece does; words stay written in code points."""
    kept = {character: ord(character) for character in spelling.alphabet(spelled)}
    return spelling.symbols(spelled, kept, kept)


def _maximised(pieces: Sequence[str], expected_P: Scores) -> tuple[list[str], Scores]:
    """Drop pieces that are hardly expected; score the others as a sparse prior would (digamma for the logarithm)."""
    single_P = np.array([len(piece) == 1 for piece in pieces], dtype=np.bool_)
    kept = np.flatnonzero(single_P | (expected_P >= LEAST_EXPECTED)).tolist()
    counts_P = np.maximum(expected_P[kept], LEAST_EXPECTED)
    return [pieces[at] for at in kept], lattice.digamma(counts_P) - lattice.digamma(counts_P.sum(keepdims=True))


def _pruned(spelled: Spelled, pieces: Sequence[str], scores_P: Scores, kept: int) -> tuple[list[str], Scores]:
    """Keep the pieces without which the text would become the most unlikely, and all characters."""
    losses_P = lattice.losses(spelled, pieces, scores_P)
    losses_P[[at for at, piece in enumerate(pieces) if len(piece) == 1]] = np.inf
    order = np.argsort(-losses_P, kind="stable")[:kept]
    chosen = np.sort(order[losses_P[order] > -np.inf]).tolist()
    return [pieces[at] for at in chosen], scores_P[chosen]


def _removable(pieces: Sequence[str]) -> bool:
    return any(len(piece) > 1 for piece in pieces)


def _finished(pieces: Sequence[str], scores_P: Scores, size: int) -> list[tuple[str, float]]:
    ranked = sorted(zip(pieces, scores_P.round(DECIMALS).tolist(), strict=True), key=lambda one: (-one[1], one[0]))
    characters = [one for one in ranked if len(one[0]) == 1]
    others = [one for one in ranked if len(one[0]) > 1][: max(size - len(characters), 0)]
    return sorted(characters + others, key=lambda one: (-one[1], one[0]))
