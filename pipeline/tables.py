"""The data dictionary: Arrow schemas that cross the border of a stage."""

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from pipeline.tasks.task import Kind

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


def encoded_schema(kind: "Kind", vocab_size: int) -> pa.Schema:
    """One row a sequence of a fine-tuning task, in the order of the task's rows.

    `ids` and `second_at` are as in EXAMPLES. `row` is the index of the task's row in its split; long ones have several
    sequences. Then what is to be predicted:

    - classify: `label`, the index of the class; -1 where it is unknown.
    - regress: `label`, a number; NaN where it is unknown.
    - choose: the choices of a question are rows that follow each other; `label` is the index of the right one on each of
      them; -1 where it is unknown.
    - span: the answer's first and last token, `start` and `end`; 0 and 0 where this sequence holds no answer. `offsets`
      are the (first, end) characters of each token in the context, one pair behind another; -1 outside the context.
    - tag: `labels`, one a token; -1 where a token is not the first piece of a word.
    """
    token = pa.uint16() if vocab_size <= 1 << 16 else pa.uint32()
    return pa.schema(
        [
            pa.field("ids", pa.list_(token), nullable=False),
            pa.field("second_at", pa.int32(), nullable=False),
            pa.field("row", pa.uint32(), nullable=False),
            *(pa.field(name, type_, nullable=False) for name, type_ in ANSWERS[kind].items()),
        ]
    )


def predicted_schema(kind: "Kind") -> pa.Schema:
    """What a model says of each row of an encoded table, in its order; of `choose`, of each question.

    `starts` and `ends` are logits, one a token; `predicted` of `tag` is one index of a label a token.
    """
    return pa.schema([pa.field(name, type_, nullable=False) for name, type_ in PREDICTIONS[kind].items()])


ANSWERS: dict["Kind", dict[str, pa.DataType]] = {
    "classify": {"label": pa.int32()},
    "regress": {"label": pa.float32()},
    "choose": {"label": pa.int32()},
    "span": {"start": pa.int32(), "end": pa.int32(), "offsets": pa.list_(pa.int32())},
    "tag": {"labels": pa.list_(pa.int32())},
}
PREDICTIONS: dict["Kind", dict[str, pa.DataType]] = {
    "classify": {"predicted": pa.int32(), "probabilities": pa.list_(pa.float32())},
    "regress": {"predicted": pa.float32()},
    "choose": {"predicted": pa.int32(), "probabilities": pa.list_(pa.float32())},
    "span": {"starts": pa.list_(pa.float32()), "ends": pa.list_(pa.float32())},
    "tag": {"predicted": pa.list_(pa.int32())},
}
