"""A stream of encoded documents to a file of examples: regrouped into blocks, paired, masked where masks are static."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from pipeline.core.arrow import BatchWriter
from pipeline.core.seeds import seed_of
from pipeline.objectives import pair_maker
from pipeline.objectives.blocks import Block, Regrouping
from pipeline.objectives.columns import Ints, count_values
from pipeline.objectives.masking import Scheme, mask_examples
from pipeline.objectives.segments import Examples, to_table
from pipeline.tables import Next, examples_schema

BLOCK_TOKENS = 4_000_000
"""Tokens that examples are drawn from together: bounds the memory of a worker, whatever the size of a file."""
ROWS_PER_BATCH = 16_384
"""Fixed, because batch borders are part of the bytes."""


@dataclass(frozen=True)
class Making:
    """How examples are made; `scheme` only where masks are static."""

    objectives: Sequence[str]
    sequence_length: int
    short_probability: float
    seed: int
    vocab_size: int
    cls_id: int
    sep_id: int
    scheme: Scheme | None = None
    copies: int = 1  # differently drawn, as many as are wanted of static masks


class ExamplesFile:
    """A file of the EXAMPLES that some documents of one DOCUMENTS file give."""

    def __init__(self, path: Path, making: Making, *, shard: int, block_tokens: int = BLOCK_TOKENS) -> None:
        schema = examples_schema(making.vocab_size, static_masks=making.scheme is not None)
        self._writer = BatchWriter(path, schema, codec=None, target_bytes=1)
        self._making = making
        self._shard = shard
        self._blocks = Regrouping(block_tokens)
        self._made = [0] * making.copies
        self._facts: Counter[str] = Counter()
        self.counts_V = np.zeros(making.vocab_size, np.int64)  # how often each token stands there, before it is masked

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._write(self._blocks.rest())
        finally:
            self._writer.__exit__(kind, error, trace)

    def add(self, block: Block) -> None:
        """Take documents in the order of their rows; they are written when a block has come together."""
        self._facts["documents"] += len(block.row_D)
        self._write(self._blocks.add(block))

    def facts(self) -> dict[str, int]:
        """Count what was written: documents, examples, tokens and pairs of each label."""
        pairs = [f"{label.name.lower()}_pairs" for label in Next]
        return {name: self._facts[name] for name in ("documents", "examples", "tokens", *pairs)}

    def _write(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            for copy in range(self._making.copies):
                examples = self._draw(block, copy)
                for batch in self._table(examples, block.row_D, copy).to_batches(max_chunksize=ROWS_PER_BATCH):
                    self._writer.add(batch)
                self._made[copy] += len(examples)
                self._count(examples)

    def _draw(self, block: Block, copy: int) -> Examples:
        making = self._making
        return pair_maker(making.objectives)(
            block.encoded,
            block.key_D,
            sequence_length=making.sequence_length,
            short_probability=making.short_probability,
            cls_id=making.cls_id,
            sep_id=making.sep_id,
            seed=seed_of(making.seed, "examples", copy),
        )

    def _table(self, examples: Examples, row_D: Ints, copy: int) -> pa.Table:
        scheme = self._making.scheme
        masks = mask_examples(scheme, examples, first_example=self._made[copy], duplicate=copy) if scheme else None
        return to_table(examples, self._making.vocab_size, masks, shard=self._shard, row_D=row_D)

    def _count(self, examples: Examples) -> None:
        count_values(examples.ids, self.counts_V)
        labels = np.bincount(examples.label, minlength=len(Next))
        self._facts.update({"examples": len(examples), "tokens": len(examples.ids)})
        self._facts.update({f"{label.name.lower()}_pairs": int(labels[label]) for label in Next})
