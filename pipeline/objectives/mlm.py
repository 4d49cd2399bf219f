"""The masked language model: which tokens are hidden, and the loss on them.

Every draw is a hash of (seed, epoch, example, position), so an example is masked alike in whatever batch, on whatever
rank and after whatever restart it turns up. Letters: B rows, T tokens, M predicted positions, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.objectives.segments import Examples, StaticMasks, borders
from pipeline.text.encode import Ids

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.model.shape import Shape
    from pipeline.objectives import Batch, Terms

MASKED, RANDOMISED = 0.8, 0.1
"""Shares of the chosen tokens; the rest stays. Devlin et al. 2019, section 3.1."""
ROWS_PER_CALL = 1024
"""Rows that static masking pads and masks at once: buffers of a few MB."""

Bits = NDArray[np.uint64]
Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
LAST = np.uint64(0xFFFFFFFFFFFFFFFF)
COLUMN = np.uint64(0xFFFF)
"""The low bits of a key give way to the column, so that no two keys of a row are equal."""


@dataclass(frozen=True)
class Masked:
    """A batch with tokens hidden: where (flat, row * T + column, ascending) and what stood there."""

    ids_BT: Ids
    at_M: Ints
    labels_M: Ints


def mask_batch(
    ids_BT: Ids,
    lengths_B: NDArray[Any],
    example_B: NDArray[Any],
    epoch_B: NDArray[Any],
    *,
    seed: int,
    rate: float,
    vocab_size: int,
    special_ids: Sequence[int],
    mask_id: int,
    continues_V: Mask | None,
) -> Masked:
    """Choose tokens to predict and hide them: 80% [MASK], 10% a random token, 10% left as they are.

    A row predicts `rate` of its length, at least one token and never a special one; a row of special tokens alone
    predicts nothing. With `continues_V` whole words are chosen, as many as fit. Random tokens are never special.

    Source: Devlin et al. 2019, section 3.1 and appendix A.1; google-research/bert `create_masked_lm_predictions`.
    """
    keys_BT = _keys(_row_bits(seed, epoch_B, example_B), ids_BT.shape[1])
    ordinary_V = _ordinary(vocab_size, special_ids)
    candidate_BT = ordinary_V[ids_BT] & (np.arange(ids_BT.shape[1]) < lengths_B[:, None])
    number_B = np.maximum(1, np.rint(rate * lengths_B)).astype(np.int64)
    if continues_V is None:
        chosen_BT = _choose_tokens(keys_BT, candidate_BT, number_B)
    else:
        chosen_BT = _choose_words(keys_BT, candidate_BT, number_B, continues_V[ids_BT])
    at_M = np.flatnonzero(chosen_BT)
    labels_M = ids_BT.ravel()[at_M].astype(np.int64)
    masked_BT = ids_BT.copy()
    masked_BT.reshape(-1)[at_M] = _hidden(labels_M, keys_BT.ravel()[at_M], mask_id, np.flatnonzero(ordinary_V))
    return Masked(masked_BT, at_M, labels_M)


def mask_examples(
    examples: Examples,
    *,
    first_example: int,
    duplicate: int,
    seed: int,
    rate: float,
    vocab_size: int,
    special_ids: Sequence[int],
    mask_id: int,
    continues_V: Mask | None,
) -> StaticMasks:
    """Mask examples once and for all, as `mask_batch` does; the number of the duplicate stands for the epoch.

    `first_example` is the number of the first of them among all examples of the recipe.
    """
    parts: list[tuple[Ids, Ints, Ints, Ints]] = []
    for begin in range(0, max(1, len(examples)), ROWS_PER_CALL):
        at = examples.at[begin : begin + ROWS_PER_CALL + 1]
        lengths_B, rows_B = np.diff(at), np.arange(begin, begin + len(at) - 1)
        columns = int(lengths_B.max(initial=1))
        real_BT = np.arange(columns) < lengths_B[:, None]
        ids_BT = np.zeros(real_BT.shape, examples.ids.dtype)
        ids_BT[real_BT] = examples.ids[at[0] : at[-1]]
        masked = mask_batch(
            ids_BT,
            lengths_B,
            rows_B + first_example,
            np.full(len(rows_B), duplicate),
            seed=seed,
            rate=rate,
            vocab_size=vocab_size,
            special_ids=special_ids,
            mask_id=mask_id,
            continues_V=continues_V,
        )
        row_M, column_M = np.divmod(masked.at_M, columns)
        parts.append((masked.ids_BT[real_BT], column_M, masked.labels_M, np.bincount(row_M, minlength=len(rows_B))))
    ids, masked_at, masked_ids, numbers = (np.concatenate(column) for column in zip(*parts, strict=True))
    return StaticMasks(ids, masked_at, masked_ids, borders(numbers))


def head(shape: "Shape") -> "nn.Module":
    """Make the head that scores the vocabulary at hidden positions."""
    from pipeline.model.heads import MaskedLanguageHead

    return MaskedLanguageHead(shape)


def loss(head: "nn.Module", hidden_BTD: "Tensor", word_embedding_VD: "Tensor", batch: "Batch") -> "Terms":
    """Sum the cross-entropies at the predicted positions; no other position reaches the head."""
    from torch.nn.functional import cross_entropy

    from pipeline.objectives import Terms

    hidden_MD = hidden_BTD.flatten(0, 1)[batch.predicted_M]
    logits_MV = head(hidden_MD, word_embedding_VD).float()
    loss_sum = cross_entropy(logits_MV, batch.labels_M, reduction="sum")
    correct = (logits_MV.argmax(-1) == batch.labels_M).sum()
    return Terms(loss_sum, correct.new_tensor(len(batch.labels_M)), correct)


def _choose_tokens(keys_BT: Bits, candidate_BT: Mask, number_B: Ints) -> Mask:
    """Choose the candidates with the `number_B` lowest keys of each row."""
    ranked_BT = _ranked(keys_BT, candidate_BT)
    last_B = np.minimum(number_B, ranked_BT.shape[1]) - 1
    limit_B1 = np.take_along_axis(np.sort(ranked_BT, axis=1), last_B[:, None], axis=1)
    chosen_BT: Mask = candidate_BT & (ranked_BT <= limit_B1)
    return chosen_BT


def _choose_words(keys_BT: Bits, candidate_BT: Mask, number_B: Ints, continues_BT: Mask) -> Mask:
    """Choose words in the order of their first tokens' keys, passing over those that would exceed `number_B`.

    A row in which no word is short enough takes its first, so that something is predicted.
    """
    start_BT = candidate_BT.copy()
    start_BT[:, 1:] &= ~(continues_BT[:, 1:] & candidate_BT[:, :-1])
    first_BT = np.maximum.accumulate(np.where(start_BT, np.arange(start_BT.shape[1]), 0), axis=1)
    size_BT = _sizes(first_BT, candidate_BT)
    order_BT = np.argsort(_ranked(keys_BT, start_BT), axis=1)
    taken_BT = _take_in_order(order_BT, start_BT, size_BT, number_B)
    chosen_BT: Mask = candidate_BT & np.take_along_axis(taken_BT, first_BT, axis=1)
    return chosen_BT


def _sizes(first_BT: Ints, candidate_BT: Mask) -> Ints:
    """Count the tokens of each word at its first column."""
    rows, columns = first_BT.shape
    flat = (first_BT + np.arange(rows)[:, None] * columns)[candidate_BT]
    return np.bincount(flat, minlength=rows * columns).reshape(rows, columns)


def _take_in_order(order_BT: Ints, start_BT: Mask, size_BT: Ints, number_B: Ints) -> Mask:
    """Take words, one rank of all rows at a time, while they fit."""
    rows_B, words_B = np.arange(len(order_BT)), start_BT.sum(axis=1)
    left_B = number_B.copy()
    taken_BT = np.zeros_like(start_BT)
    for rank in range(int(words_B.max(initial=0))):
        at_B = order_BT[:, rank]
        fits_B = (size_BT[rows_B, at_B] <= left_B) & (rank < words_B)
        taken_BT[rows_B, at_B] = fits_B
        left_B -= size_BT[rows_B, at_B] * fits_B
        if not left_B.any():
            break
    empty_B = (left_B == number_B) & (words_B > 0)
    taken_BT[rows_B[empty_B], order_BT[empty_B, 0]] = True
    return taken_BT


def _hidden(labels_M: Ints, keys_M: Bits, mask_id: int, ordinary_ids: Ints) -> Ints:
    """Draw what stands at a chosen position: the mask, a random token or the token itself."""
    bits_M = _mix(keys_M ^ GOLDEN)  # fresh: the keys of chosen positions are low
    share_M = (bits_M >> np.uint64(11)) * 2.0**-53
    lot_M = _mix(bits_M) >> np.uint64(32)
    random_M = ordinary_ids[(lot_M * np.uint64(len(ordinary_ids))) >> np.uint64(32)]
    kept_M = np.where(share_M < MASKED + RANDOMISED, random_M, labels_M)
    return np.where(share_M < MASKED, mask_id, kept_M)


def _ordinary(vocab_size: int, special_ids: Sequence[int]) -> Mask:
    ordinary_V = np.ones(vocab_size, dtype=np.bool_)
    ordinary_V[list(special_ids)] = False
    return ordinary_V


def _ranked(keys_BT: Bits, eligible_BT: Mask) -> Bits:
    """Make the keys of a row distinct and put whatever is not eligible last."""
    columns_T = np.arange(keys_BT.shape[1], dtype=np.uint64)
    return np.where(eligible_BT, (keys_BT & ~COLUMN) | columns_T, LAST)


def _row_bits(seed: int, epoch_B: NDArray[Any], example_B: NDArray[Any]) -> Bits:
    seed_1 = np.array([seed & int(LAST)], dtype=np.uint64)
    return _draw(_draw(_mix(seed_1), epoch_B.astype(np.uint64)), example_B.astype(np.uint64))


def _keys(bits_B: Bits, columns: int) -> Bits:
    return _draw(bits_B[:, None], np.arange(columns, dtype=np.uint64))


def _draw(bits: Bits, number: Bits) -> Bits:
    """Return the draw of a given number from the stream that starts at `bits`."""
    return _mix(bits + GOLDEN * number)


def _mix(bits: Bits) -> Bits:
    """Scramble 64 bits so that any one of them changes half of the others.

    Source: Steele et al. 2014, Fast Splittable Pseudorandom Number Generators (splitmix64's finaliser).
    """
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
