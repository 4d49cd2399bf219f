"""The data dictionary: Arrow schemas that cross the border of a stage."""

from enum import IntEnum
from typing import Any

import pyarrow as pa

DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # 32 hex digits of the SHA-256 of the normalised text
        pa.field("source", pa.string(), nullable=False),  # recipe.corpus.sources.N.name
        pa.field("title", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),  # where to find the original; empty if nowhere
        pa.field("sentences", pa.list_(pa.string()), nullable=False),
    ]
)
"""One row a document, in the order of `id`; one file a shard."""


class Next(IntEnum):
    """The label of a pair of segments: does B follow A?"""

    NEXT = 0  # as in the original BERT: 0 is "B is the next sentence"
    RANDOM = 1
    NONE = 2  # a single segment: nothing to predict


def examples_schema(vocab_size: int, *, static_masks: bool) -> pa.Schema:
    """EXAMPLES: one row a training example; token ids as narrow as the vocabulary allows.

    `ids` holds [CLS] A [SEP] B [SEP] without padding, or [CLS] and sentences with a [SEP] after each document. `second_at`
    is the index of B's first token (the length of `ids` where there is no B). `shard` is the number of a DOCUMENTS file,
    and `rows` are the rows in it of the documents whose text stands in the example, in order of appearance, each once.
    With static masks `ids` is masked already, and `masked_at` and `masked_ids` say where and what stood there.
    """
    token = pa.uint16() if vocab_size <= 1 << 16 else pa.uint32()
    fields: list[pa.Field[Any]] = [
        pa.field("ids", pa.list_(token), nullable=False),
        pa.field("second_at", pa.uint16(), nullable=False),
        pa.field("label", pa.uint8(), nullable=False),
        pa.field("shard", pa.uint16(), nullable=False),
        pa.field("rows", pa.list_(pa.int32()), nullable=False),
    ]
    masked: list[pa.Field[Any]] = [
        pa.field("masked_at", pa.list_(pa.uint16()), nullable=False),
        pa.field("masked_ids", pa.list_(token), nullable=False),
    ]
    return pa.schema(fields + masked if static_masks else fields)


def labelled_schema(vocab_size: int) -> pa.Schema:
    """One row a labelled text or pair: `ids` and `second_at` as in EXAMPLES, `label` -1 where it is unknown."""
    token = pa.uint16() if vocab_size <= 1 << 16 else pa.uint32()
    return pa.schema(
        [
            pa.field("ids", pa.list_(token), nullable=False),
            pa.field("second_at", pa.uint16(), nullable=False),
            pa.field("label", pa.int32(), nullable=False),
            pa.field("first", pa.string(), nullable=False),
            pa.field("second", pa.string(), nullable=False),
        ]
    )
