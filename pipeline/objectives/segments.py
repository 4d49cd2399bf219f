"""What all pair makers share: an example as a few stretches of the encoded text, and how stretches become examples.

A pair maker only decides where stretches begin and end, in a kernel that never touches a token (`Drawn`). Every stretch
ends in [SEP], so one layout serves pairs, lone segments and sentences packed across documents.

Letters: D documents, S sentences, N tokens, E examples, P stretches.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core.kernel import kernel
from pipeline.objectives.columns import Ints, borders, list_column, plain_column
from pipeline.objectives.draws import State, advance, below, share
from pipeline.tables import Next, examples_schema
from pipeline.text.encoded import Encoded, Ids

Keys = NDArray[np.uint64]
"""What the draws of each document follow from: equal keys, equal draws. Shape [D]."""

BEGIN, END, DOCUMENT = 0, 1, 2
"""The columns of `Drawn.stretch_P3`."""


@dataclass(frozen=True)
class Drawn:
    """Examples before layout: example e is stretches at_E[e] to at_E[e + 1], each of one document."""

    stretch_P3: Ints  # first token, one past the last, document
    at_E: Ints  # E + 1
    label_E: Ints

    @staticmethod
    def room(examples: int, stretches: int) -> "Drawn":
        """Make the arrays that a kernel fills."""
        return Drawn(np.empty((stretches, 3), np.int64), np.zeros(examples + 1, np.int64), np.empty(examples, np.int64))

    def first(self, examples: int) -> "Drawn":
        """Keep what a kernel has filled."""
        at_E = self.at_E[: examples + 1]
        return Drawn(self.stretch_P3[: at_E[-1]], at_E, self.label_E[:examples])


@dataclass(frozen=True)
class Examples:
    """Examples, flat: example e is ids[at[e] : at[e + 1]], with [CLS] and [SEP], without padding.

    Its text is of documents[documents_at[e] : documents_at[e + 1]], in order of appearance, each once.
    """

    ids: Ids
    at: Ints  # E + 1
    second_at: Ints
    label: Ints
    documents: Ints
    documents_at: Ints  # E + 1

    def __len__(self) -> int:
        return len(self.at) - 1


@dataclass(frozen=True)
class StaticMasks:
    """Examples masked once and for all: example e predicts masked_ids[at[e] : at[e + 1]]."""

    ids: Ids  # flat as in `Examples`, with tokens hidden
    masked_at: Ints  # columns within an example
    masked_ids: Ints
    at: Ints  # E + 1


def capped(encoded: Encoded, tokens: int) -> Encoded:
    """Cut sentences of more than `tokens` into pieces that count as sentences: full ones and a rest, no token lost."""
    length_S = np.diff(encoded.sentence_at)
    if length_S.max(initial=0) <= tokens:
        return encoded
    piece_S = -(-length_S // tokens)
    piece_at = borders(piece_S)
    within = np.arange(piece_at[-1]) - np.repeat(piece_at[:-1], piece_S)
    begin = np.repeat(encoded.sentence_at[:-1], piece_S) + tokens * within
    return Encoded(encoded.ids_N, np.append(begin, encoded.sentence_at[-1]), piece_at[encoded.document_at])


@kernel
def draw_target(state: State, most: int, short_probability: float) -> int:
    """Draw the length that examples aim at: `most`, or with `short_probability` less, from 2 on.

    Source: google-research/bert create_pretraining_data.py, `target_seq_length`.
    """
    if share(advance(state)) >= short_probability:
        return most
    return 2 + int(below(advance(state), most - 1))


@kernel
def reach(sentence_at: Ints, begin: int, last: int, tokens: int) -> int:
    """Return the border after the fewest sentences from `begin` that hold `tokens`, `last` at most."""
    end = begin + 1
    while end < last and sentence_at[end] - sentence_at[begin] < tokens:
        end += 1
    return end


@kernel
def fronts(state: State, tokens: int) -> np.int64:
    """Draw how many of some tokens are lost from the front, each at even odds."""
    front = np.int64(0)
    bits = np.uint64(0)
    for token in range(tokens):
        if token % 64 == 0:
            bits = advance(state)
        front += np.int64(bits & np.uint64(1))
        bits >>= np.uint64(1)
    return front


@kernel
def fit(state: State, first_P: Ints, second_P: Ints, limit: int) -> None:
    """Drop tokens of the longer stretch, each from its front or its back at even odds, until both fit in `limit`.

    Source: google-research/bert create_pretraining_data.py, `truncate_seq_pair`: a loop over tokens; how many each
    segment loses is fixed by the lengths.
    """
    first, second = first_P[END] - first_P[BEGIN], second_P[END] - second_P[BEGIN]
    excess = max(first + second - limit, 0)
    gap = min(excess, abs(first - second))
    first_lost = (gap if first > second else 0) + (excess - gap) // 2  # once equal they lose in turn, B first
    second_lost = excess - first_lost
    front = fronts(state, first_lost)
    first_P[BEGIN] += front
    first_P[END] -= first_lost - front
    front = fronts(state, second_lost)
    second_P[BEGIN] += front
    second_P[END] -= second_lost - front


def lay_out(encoded: Encoded, drawn: Drawn, *, cls_id: int, sep_id: int) -> Examples:
    """Copy the tokens of stretches: [CLS], then each stretch and [SEP]."""
    stretch_P3, at_E = drawn.stretch_P3, drawn.at_E
    length_P = stretch_P3[:, END] - stretch_P3[:, BEGIN]
    token_at = borders(length_P + 1)[at_E] + np.arange(len(at_E))
    ids_N = np.empty(token_at[-1], encoded.ids_N.dtype)
    _copy_tokens(encoded.ids_N, stretch_P3, at_E, cls_id, sep_id, ids_N)
    second_at_E = np.where(drawn.label_E == Next.NONE, np.diff(token_at), 2 + length_P[at_E[:-1]])
    new_P = np.append(np.ones(1, np.bool_), stretch_P3[1:, DOCUMENT] != stretch_P3[:-1, DOCUMENT])[: len(length_P)]
    new_P[at_E[:-1]] = True
    return Examples(ids_N, token_at, second_at_E, drawn.label_E, stretch_P3[new_P, DOCUMENT], borders(new_P)[at_E])


@kernel
def _copy_tokens(from_N: Ids, stretch_P3: Ints, at_E: Ints, cls_id: int, sep_id: int, to_N: Ids) -> None:
    to = 0
    for example in range(len(at_E) - 1):
        to_N[to] = cls_id
        to += 1
        for stretch in range(at_E[example], at_E[example + 1]):
            for token in range(stretch_P3[stretch, 0], stretch_P3[stretch, 1]):
                to_N[to] = from_N[token]
                to += 1
            to_N[to] = sep_id
            to += 1


def to_table(
    examples: Examples, vocab_size: int, masks: StaticMasks | None = None, *, shard: int, row_D: NDArray[Any]
) -> pa.Table:
    """Lay examples out as a table of the EXAMPLES schema; with static masks their ids stand for the examples'.

    The text is that of the DOCUMENTS file number `shard`, where document d stands in row row_D[d].
    """
    columns: dict[str, tuple[NDArray[Any], ...]] = {
        "ids": (examples.ids if masks is None else masks.ids, examples.at),
        "second_at": (examples.second_at,),
        "label": (examples.label,),
        "shard": (np.full(len(examples), shard),),
        "rows": (row_D[examples.documents], examples.documents_at),
    }
    if masks is not None:
        columns |= {"masked_at": (masks.masked_at, masks.at), "masked_ids": (masks.masked_ids, masks.at)}
    schema = examples_schema(vocab_size, static_masks=masks is not None)
    arrays = [_column(*columns[field.name], kind=field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _column(values: NDArray[Any], at: Ints | None = None, *, kind: Any) -> Any:
    return plain_column(values, kind) if at is None else list_column(values, at, kind)
