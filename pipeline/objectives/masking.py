"""Which tokens the masked language model has to predict, and what stands in their place.

Every draw is a hash of (seed, epoch, example, position), so an example is masked alike in whatever batch, on whatever
rank and after whatever restart it turns up. All units are one procedure: words are taken in a random order, each with
the words that follow it up to a drawn length, until the row's share of tokens is reached. For the unit *token* every
token is a word, and only for the unit *span* is the length ever more than one.

Letters: B rows, T tokens, N tokens of all rows, M predicted positions, V vocabulary, W words of a row.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernel import kernel
from pipeline.objectives.columns import Ints, borders
from pipeline.objectives.draws import GOLDEN, LAST, Bits, below, draw, mix, share
from pipeline.objectives.segments import Examples, StaticMasks
from pipeline.text.encoded import Ids

MASKED, RANDOMISED = 0.8, 0.1
"""Shares of what is chosen; the rest stays. Devlin et al. 2019, section 3.1."""
SPAN_WORDS = 10
SPAN_END = 0.2
"""Spans have a length drawn from a geometric distribution, cut off at ten words: 3.8 on average. Joshi et al. 2020, 3.1."""
ROWS_PER_CALL = 4096
"""Rows that static masking hides at once: buffers of a few MB."""

SPECIAL, STARTS, CONTINUES = 0, 1, 2
"""What a piece is: never hidden, the start of a word, or more of one."""

Mask = NDArray[np.bool_]
Kinds = NDArray[np.uint8]


def _length_chances() -> NDArray[np.float64]:
    chance = SPAN_END * (1 - SPAN_END) ** np.arange(SPAN_WORDS)
    upto: NDArray[np.float64] = np.cumsum(chance / chance.sum())
    return upto


LENGTH_UPTO = _length_chances()
"""The chance of a span of at most 1, 2, ... words."""


@dataclass(frozen=True)
class Scheme:
    """How tokens are hidden: everything but which rows, and in which epoch."""

    seed: int
    unit: Literal["token", "word", "span"]
    rate: float
    vocab_size: int
    special_ids: tuple[int, ...]  # never hidden, never drawn
    mask_id: int
    continues_V: Mask | None = None  # which pieces continue a word; the unit token needs none

    @cached_property
    def kind_V(self) -> Kinds:
        """What each piece is."""
        kind_V = np.full(self.vocab_size, STARTS, np.uint8)
        if self.unit != "token" and self.continues_V is not None:
            kind_V[self.continues_V] = CONTINUES
        kind_V[list(self.special_ids)] = SPECIAL
        return kind_V

    @cached_property
    def ordinary_ids(self) -> Ints:
        """What a random token is drawn from."""
        return np.flatnonzero(self.kind_V)

    @property
    def span_words(self) -> int:
        """How many words are hidden at once, at most."""
        return SPAN_WORDS if self.unit == "span" else 1


@dataclass(frozen=True)
class Masked:
    """A batch with tokens hidden: where (flat, row * T + column, ascending) and what stood there."""

    ids_BT: NDArray[Any]
    at_M: Ints
    labels_M: Ints


def mask_batch(
    scheme: Scheme, ids_BT: NDArray[Any], lengths_B: NDArray[Any], example_B: NDArray[Any], epoch_B: NDArray[Any]
) -> Masked:
    """Choose tokens to predict and hide them: 80% [MASK], 10% a random token, 10% left as they are.

    A row predicts `rate` of its length, at least one token and never a special one; a row of special tokens alone
    predicts nothing. Words and spans are chosen whole, as many as fit; spans are hidden alike in all their tokens, and
    end with a sequence's segment. A row in which no word is short enough hides one all the same.

    Source: Devlin et al. 2019, section 3.1 and appendix A.1; Joshi et al. 2020 (SpanBERT), section 3.1.
    """
    masked_BT = ids_BT.copy()
    begin_B = np.arange(len(ids_BT)) * ids_BT.shape[1]
    at_M, labels_M, _ = _hide(scheme, masked_BT.reshape(-1), begin_B, lengths_B, example_B, epoch_B)
    return Masked(masked_BT, at_M, labels_M)


def mask_examples(scheme: Scheme, examples: Examples, *, first_example: int, duplicate: int) -> StaticMasks:
    """Mask examples once and for all, as `mask_batch` does; the number of the duplicate stands for the epoch.

    `first_example` is the number of the first of them among all examples of the seed.
    """
    ids = examples.ids.copy()
    length_E, number_E = np.diff(examples.at), np.arange(len(examples)) + first_example
    parts: list[tuple[Ints, Ints, Ints]] = []
    for first in range(0, max(1, len(examples)), ROWS_PER_CALL):
        rows = slice(first, first + ROWS_PER_CALL)
        begin_B, length_B = examples.at[:-1][rows], length_E[rows]
        epoch_B = np.full(len(length_B), duplicate)
        at_M, labels_M, count_B = _hide(scheme, ids, begin_B, length_B, number_E[rows], epoch_B)
        parts.append((at_M - np.repeat(begin_B, count_B), labels_M, count_B))
    masked_at, masked_ids, count_E = (np.concatenate(column) for column in zip(*parts, strict=True))
    return StaticMasks(ids, masked_at, masked_ids, borders(count_E))


def _hide(
    scheme: Scheme,
    ids_N: NDArray[Any],
    begin_B: Ints,
    length_B: NDArray[Any],
    example_B: NDArray[Any],
    epoch_B: NDArray[Any],
) -> tuple[Ints, Ints, Ints]:
    """Hide tokens in place; returns where, what stood there, and how many in each row."""
    length_B = length_B.astype(np.int64, copy=False)
    bits_B = _row_bits(scheme.seed, epoch_B, example_B)
    at_M, labels_M = np.empty(length_B.sum(), np.int64), np.empty(length_B.sum(), np.int64)
    count_B = np.empty(len(length_B), np.int64)
    kinds = (scheme.kind_V, scheme.ordinary_ids, scheme.mask_id)
    hidden = _hide_rows(
        ids_N, begin_B, length_B, bits_B, *kinds, scheme.rate, scheme.span_words, at_M, labels_M, count_B
    )
    return at_M[:hidden].copy(), labels_M[:hidden].copy(), count_B


def _row_bits(seed: int, epoch_B: NDArray[Any], example_B: NDArray[Any]) -> NDArray[np.uint64]:
    bits_B = np.empty(len(epoch_B), np.uint64)
    _start_rows(np.uint64(seed & LAST), epoch_B.astype(np.uint64), example_B.astype(np.uint64), bits_B)
    return bits_B


@kernel
def _start_rows(seed: Bits, epoch_B: NDArray[Any], example_B: NDArray[Any], bits_B: NDArray[Any]) -> None:
    for row in range(len(bits_B)):
        bits_B[row] = draw(draw(mix(seed), epoch_B[row]), example_B[row])


@kernel
def _hide_rows(
    ids_N: Ids,
    begin_B: Ints,
    length_B: Ints,
    bits_B: NDArray[np.uint64],
    kind_V: Kinds,
    ordinary_ids: Ints,
    mask_id: int,
    rate: float,
    span_words: int,
    at_M: Ints,
    labels_M: Ints,
    count_B: Ints,
) -> int:
    """Hide tokens of each row; returns how many in all."""
    widest = length_B.max() if len(length_B) else 0
    word_W3 = np.empty((widest + 1, 3), np.int64)
    span_T = np.zeros(widest, np.int64)
    hidden = 0
    for row in range(len(length_B)):
        ids_T = ids_N[begin_B[row] : begin_B[row] + length_B[row]]
        number = max(1, int(np.rint(rate * length_B[row])))
        words = _find_words(ids_T, kind_V, word_W3)
        _choose(bits_B[row], word_W3[:words], number, span_words, span_T)
        count_B[row] = _replace(
            bits_B[row], ids_T, span_T, ordinary_ids, mask_id, begin_B[row], at_M[hidden:], labels_M[hidden:]
        )
        hidden += count_B[row]
    return hidden


@kernel
def _find_words(ids_T: Ids, kind_V: Kinds, word_W3: Ints) -> int:
    """Write where words begin and end, and an order to shuffle them in; returns how many.

    A special token ends a word, and what continues a word that is not there begins one.
    """
    words = 0
    nowhere = len(word_W3) - 1
    before = SPECIAL
    for column in range(len(ids_T)):  # without branches, which text would have mispredicted: twice as fast
        kind = kind_V[ids_T[column]]
        word_W3[words, 0], word_W3[words, 2] = column, words
        words += (kind == STARTS) | ((kind == CONTINUES) & (before == SPECIAL))
        word_W3[nowhere if kind == SPECIAL else words - 1, 1] = column + 1
        before = kind
    return words


@kernel
def _choose(bits: Bits, word_W3: Ints, number: int, span_words: int, span_T: Ints) -> None:
    """Take words in a random order, each with those that follow it, while they fit in `number` tokens.

    A column that is taken is marked with a number (from 1) that it shares with what is hidden alike.
    """
    words, left = len(word_W3), number
    for taken in range(words):
        lot = draw(bits, np.uint64(taken))
        other = taken + below(lot, words - taken)
        word_W3[taken, 2], word_W3[other, 2] = word_W3[other, 2], word_W3[taken, 2]
        word = word_W3[taken, 2]
        begin, end = word_W3[word, 0], word_W3[word, 1]
        if span_T[begin] == 0 and end - begin <= left:
            if span_words > 1:
                end = _span_end(word_W3, word, _draw_length(mix(lot), span_words), left, span_T)
            _mark(span_T, begin, end, span_words)
            left -= end - begin
            if left == 0:
                return
    if left == number and words > 0:
        word = word_W3[0, 2]
        _mark(span_T, word_W3[word, 0], word_W3[word, 1], span_words)


@kernel
def _draw_length(bits: Bits, span_words: int) -> int:
    lot = share(bits)
    words = 1
    while words < span_words and lot >= LENGTH_UPTO[words - 1]:
        words += 1
    return words


@kernel
def _span_end(word_W3: Ints, word: int, wanted: int, left: int, span_T: Ints) -> int:
    """Return where a span of at most `wanted` words ends: at the segment's end, at another span, or where it is full."""
    begin, end = word_W3[word, 0], word_W3[word, 1]
    for following in range(word + 1, min(word + wanted, len(word_W3))):
        fits = word_W3[following, 1] - begin <= left
        if word_W3[following, 0] != end or span_T[end] or not fits:
            break
        end = word_W3[following, 1]
    return int(end)


@kernel
def _mark(span_T: Ints, begin: int, end: int, span_words: int) -> None:
    for column in range(begin, end):
        span_T[column] = 1 + (begin if span_words > 1 else column)


@kernel
def _replace(
    bits: Bits, ids_T: Ids, span_T: Ints, ordinary_ids: Ints, mask_id: int, begin: int, at_M: Ints, labels_M: Ints
) -> int:
    """Draw what stands at each marked position: the mask, a random token or the token itself; unmarks them."""
    fates = mix(bits ^ GOLDEN)
    lots = mix(fates)
    hidden = 0
    for column in range(len(ids_T)):
        at_M[hidden] = column
        hidden += span_T[column] > 0
    for at in range(hidden):
        column = at_M[at]
        at_M[at], labels_M[at] = begin + column, ids_T[column]
        fate = share(draw(fates, np.uint64(span_T[column])))
        if fate < MASKED:
            ids_T[column] = mask_id
        elif fate < MASKED + RANDOMISED:
            ids_T[column] = ordinary_ids[below(draw(lots, np.uint64(column)), len(ordinary_ids))]
        span_T[column] = 0
    return hidden
