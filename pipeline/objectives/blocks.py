"""Documents that examples are made of together: a stream of encoded documents, regrouped into blocks of bounded size.

Random second segments are drawn from the same block, so no block is small if the next could have been joined to it, and
borders depend only on the documents. Letters: D documents, S sentences, N tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.objectives.columns import Ints, borders
from pipeline.objectives.segments import Keys
from pipeline.text.encoded import Encoded

LEAST_DOCUMENTS = 2
"""One document alone has no other to draw from."""


@dataclass(frozen=True)
class Block:
    """Encoded documents, the keys of their draws and the rows they stand in."""

    encoded: Encoded
    key_D: Keys
    row_D: Ints

    @property
    def tokens(self) -> int:
        """Count the tokens."""
        return len(self.encoded.ids_N)

    @cached_property
    def documents(self) -> int:
        """Count the documents that have text."""
        return int(np.count_nonzero(np.diff(self.encoded.document_at)))

    def only(self, wanted_D: NDArray[np.bool_]) -> "Block":
        """Keep some of the documents."""
        if wanted_D.all():
            return self
        wanted_S = np.repeat(wanted_D, np.diff(self.encoded.document_at))
        length_S = np.diff(self.encoded.sentence_at)
        encoded = Encoded(
            self.encoded.ids_N[np.repeat(wanted_S, length_S)],
            borders(length_S[wanted_S]),
            borders(np.diff(self.encoded.document_at)[wanted_D]),
        )
        return Block(encoded, self.key_D[wanted_D], self.row_D[wanted_D])


def join(blocks: Sequence[Block]) -> Block:
    """Put blocks behind each other; there must be one at least."""
    if len(blocks) == 1:
        return blocks[0]
    encoded = Encoded(
        np.concatenate([block.encoded.ids_N for block in blocks]),
        _joined([block.encoded.sentence_at for block in blocks]),
        _joined([block.encoded.document_at for block in blocks]),
    )
    return Block(
        encoded, np.concatenate([block.key_D for block in blocks]), np.concatenate([block.row_D for block in blocks])
    )


def _joined(offsets: Sequence[NDArray[Any]]) -> Ints:
    return borders(np.concatenate([np.diff(at) for at in offsets]))


class Regrouping:
    """Joins small blocks into blocks of some size, the last of which is never a mere rest."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._waiting: list[Block] = []
        self._waiting_tokens = 0

    def add(self, block: Block) -> list[Block]:
        """Take a small block; return the block that is complete with it, if one is."""
        self._waiting.append(block)
        self._waiting_tokens += block.tokens
        least = self._tokens // 4
        if self._waiting_tokens < self._tokens + least:
            return []
        parts = self._enough()
        ready, rest = self._waiting[:parts], self._waiting[parts:]
        if _tokens(rest) < least or _documents(rest) < LEAST_DOCUMENTS:
            return []
        self._waiting, self._waiting_tokens = rest, _tokens(rest)
        return [join(ready)]

    def rest(self) -> list[Block]:
        """Return what waits."""
        waiting, self._waiting, self._waiting_tokens = self._waiting, [], 0
        return [join(waiting)] if waiting else []

    def _enough(self) -> int:
        """Count the blocks from the front that are enough for one."""
        tokens = documents = 0
        for at, block in enumerate(self._waiting):
            if tokens >= self._tokens and documents >= LEAST_DOCUMENTS:
                return at
            tokens += block.tokens
            documents += block.documents
        return len(self._waiting)


def _tokens(blocks: Sequence[Block]) -> int:
    return sum(block.tokens for block in blocks)


def _documents(blocks: Sequence[Block]) -> int:
    return sum(block.documents for block in blocks)
