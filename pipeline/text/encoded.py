"""What encoded text is: one flat array of ids with borders, so that any stretch of sentences is a slice; and what encodes it.

Letters: N tokens, S sentences, D documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SENTENCES_PER_CALL = 8192
"""Bounds the memory of the library's encodings, about 100 times that of the ids."""

Ids = NDArray[np.unsignedinteger[Any]]
Lengths = NDArray[np.int64]
Sentences = pa.StringArray | pa.LargeStringArray | Sequence[str]


class Encoder(Protocol):
    """Whatever turns sentences into the ids that the library would give, without special tokens.

    A special token spelled out in a text is ordinary text.
    """

    @property
    def name(self) -> str:
        """Its name in manifests."""

    def encode(self, sentences: Sentences) -> tuple[Ids, Lengths]:
        """Give the ids of all sentences one after another, [N], and how many each has, [S]."""


@dataclass(frozen=True)
class Encoded:
    """The ids of documents without special tokens; sentences that encode to nothing are left out, documents are not.

    Sentence s is ids_N[sentence_at[s] : sentence_at[s + 1]]; document d is the sentences from document_at[d] to
    document_at[d + 1].
    """

    ids_N: Ids
    sentence_at: NDArray[np.int64]  # S + 1
    document_at: NDArray[np.int64]  # D + 1

    @property
    def token_at(self) -> NDArray[np.int64]:
        """Where the tokens of each document begin: D + 1 borders."""
        return self.sentence_at[self.document_at]


def token_type(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Name the narrowest type that holds every id, as in the EXAMPLES schema."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)
