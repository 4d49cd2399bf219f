"""What all pair makers share: segments as slices of the encoded text, cut to length and laid out as examples.

A pair maker only decides where segments begin and end; those decisions are a few integers an example (`Pairs`), and
everything that touches tokens is done for all examples at once.

Letters: E examples, N tokens of the shard, T tokens of an example.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.tables import Next, examples_schema
from pipeline.text.encode import Encoded, Ids

Ints = NDArray[np.int64]


class Pair(NamedTuple):
    """One example before cutting: A is tokens first to first_end, B second to second_end, each of one document."""

    first: int
    first_end: int
    first_row: int
    second: int
    second_end: int
    second_row: int
    label: Next


@dataclass(frozen=True)
class Examples:
    """The examples of one shard, flat: example e is ids[at[e] : at[e + 1]], with [CLS] and [SEP], without padding."""

    ids: Ids
    at: Ints  # E + 1
    second_at: Ints
    label: Ints
    first_row: Ints
    second_row: Ints

    def __len__(self) -> int:
        return len(self.at) - 1


@dataclass(frozen=True)
class StaticMasks:
    """Examples masked once and for all: example e predicts masked_ids[at[e] : at[e + 1]]."""

    ids: Ids  # flat as in `Examples`, with tokens hidden
    masked_at: Ints  # columns within an example
    masked_ids: Ints
    at: Ints  # E + 1


@dataclass(frozen=True)
class Document:
    """A document's sentences as borders in the shard's tokens."""

    row: int
    borders: list[int]  # one more than there are sentences

    @property
    def last(self) -> int:
        """The number of sentences, which is the index of the last border."""
        return len(self.borders) - 1

    def reach(self, begin: int, tokens: int) -> int:
        """Return the border after the fewest sentences from `begin` that hold `tokens`, or the document's end."""
        at = bisect_left(self.borders, self.borders[begin] + tokens, lo=min(begin + 1, self.last))
        return min(at, self.last)


def documents_of(encoded: Encoded) -> list[Document]:
    """List the documents that have any tokens."""
    sentence_at, document_at = encoded.sentence_at.tolist(), encoded.document_at.tolist()
    return [
        Document(row, sentence_at[begin : end + 1])
        for row, (begin, end) in enumerate(pairwise(document_at))
        if end > begin
    ]


def target_length(max_tokens: int, short_probability: float, rng: Generator) -> int:
    """Draw the length a document's examples aim at: `max_tokens`, or with `short_probability` less, from 2 on.

    Source: google-research/bert create_pretraining_data.py, `target_seq_length` (drawn once a document).
    """
    return int(rng.integers(2, max_tokens + 1)) if rng.random() < short_probability else max_tokens


def chunks(document: Document, target: int) -> Iterator[tuple[int, int]]:
    """Cut a document into runs of whole sentences that reach `target` tokens; the last may be shorter."""
    begin = 0
    while begin < document.last:
        end = document.reach(begin, target)
        yield begin, end
        begin = end


def lone(row: int, begin: int, end: int) -> Pair:
    """Make an example of one segment."""
    return Pair(begin, end, row, end, end, -1, Next.NONE)


def single_segments(
    encoded: Encoded, *, sequence_length: int, short_probability: float, cls_id: int, sep_id: int, rng: Generator
) -> Examples:
    """Make examples of one segment each for a recipe without a pair objective: every token of a document, once.

    A document is cut where an example is full, also inside a sentence; what remains is a shorter example.

    Source: Liu et al. 2019 (RoBERTa), section 4.2, DOC-SENTENCES, here without padding.
    """
    drawn: list[Pair] = []
    for document in documents_of(encoded):
        target = target_length(sequence_length - 2, short_probability, rng)
        end = document.borders[-1]
        drawn.extend(lone(document.row, at, min(at + target, end)) for at in range(document.borders[0], end, target))
    return lay_out(encoded, drawn, sequence_length=sequence_length, cls_id=cls_id, sep_id=sep_id, rng=rng)


def lay_out(
    encoded: Encoded, pairs: list[Pair], *, sequence_length: int, cls_id: int, sep_id: int, rng: Generator
) -> Examples:
    """Cut pairs to length and copy their tokens: [CLS] A [SEP] B [SEP], or [CLS] A [SEP]."""
    table = np.array(pairs, dtype=np.int64).reshape(-1, len(Pair._fields)).T
    first, first_end, first_row, second, second_end, second_row, label = table
    paired = (second_end > second).astype(np.int64)
    first, first_end, second, second_end = _cut(first, first_end, second, second_end, sequence_length - 2 - paired, rng)
    first_length, second_length = first_end - first, second_end - second
    second_at = 2 + first_length
    at = borders(second_at + second_length + paired)
    ids = np.full(at[-1], sep_id, dtype=encoded.ids_N.dtype)
    ids[at[:-1]] = cls_id
    ids[_slices(at[:-1] + 1, first_length)] = encoded.ids_N[_slices(first, first_length)]
    ids[_slices(at[:-1] + second_at, second_length)] = encoded.ids_N[_slices(second, second_length)]
    return Examples(ids, at, second_at, label, first_row, second_row)


def to_table(examples: Examples, vocab_size: int, masks: StaticMasks | None = None) -> pa.Table:
    """Lay examples out as a table of the EXAMPLES schema; with static masks their ids stand for the examples'."""
    columns: dict[str, tuple[Ints | Ids, Ints | None]] = {
        "ids": (examples.ids if masks is None else masks.ids, examples.at),
        "second_at": (examples.second_at, None),
        "label": (examples.label, None),
        "first_row": (examples.first_row, None),
        "second_row": (examples.second_row, None),
    }
    if masks is not None:
        columns |= {"masked_at": (masks.masked_at, masks.at), "masked_ids": (masks.masked_ids, masks.at)}
    schema = examples_schema(vocab_size, static_masks=masks is not None)
    return pa.Table.from_arrays(
        [_column(*columns[name], schema.field(name).type) for name in schema.names], schema=schema
    )


def borders(length: Ints) -> Ints:
    """Turn lengths into offsets, one more than there are lengths."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(length)])


def _column(values: Ints | Ids, at: Ints | None, kind: Any) -> Any:
    if at is None:
        return pa.array(values, kind)
    return pa.ListArray.from_arrays(pa.array(at, pa.int32()), pa.array(values, kind.value_type))


def _cut(
    first: Ints, first_end: Ints, second: Ints, second_end: Ints, limit: Ints, rng: Generator
) -> tuple[Ints, Ints, Ints, Ints]:
    """Drop tokens of the longer segment, each from its front or its back at even odds, until both fit in `limit`.

    Source: google-research/bert create_pretraining_data.py, `truncate_seq_pair`: a loop over tokens; how many each
    segment loses is fixed by the lengths, and how many of those from the front is binomial.
    """
    first_length, second_length = first_end - first, second_end - second
    excess = np.maximum(first_length + second_length - limit, 0)
    gap = np.minimum(excess, np.abs(first_length - second_length))
    rest = excess - gap  # once equal they lose in turn, B first
    first_lost = np.where(first_length > second_length, gap, 0) + rest // 2
    second_lost = excess - first_lost
    first_front = rng.binomial(first_lost, 0.5)
    second_front = rng.binomial(second_lost, 0.5)
    return (
        first + first_front,
        first_end - (first_lost - first_front),
        second + second_front,
        second_end - (second_lost - second_front),
    )


def _slices(begin: Ints, length: Ints) -> Ints:
    """Concatenate the ranges [begin, begin + length)."""
    before = borders(length)
    return np.repeat(begin - before[:-1], length) + np.arange(before[-1])
