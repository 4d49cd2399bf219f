"""Documents to token ids: one flat array with borders, so that any stretch of sentences is a slice.

Letters: N tokens, S sentences, D documents, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from pipeline.core.errors import DataError
from pipeline.text.vocab import CONTINUING, SPECIALS

SENTENCES_PER_CALL = 8192
"""Bounds the memory of the library's encodings, about 100 times that of the ids."""
WORD_START = "Ġ"
"""How byte-level pieces spell the space that begins a word."""

Ids = NDArray[np.unsignedinteger[Any]]


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


def load(folder: Path) -> Tokenizer:
    """Load a saved tokenizer.

    Raises: DataError if the folder holds no tokenizer.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise DataError(f"{path}: no tokenizer there; expected the folder of a tokenizer artifact")
    return Tokenizer.from_file(str(path))


def token_type(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Name the narrowest type that holds every id, as in the EXAMPLES schema."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def encode_documents(tokenizer: Tokenizer, documents: Sequence[Sequence[str]]) -> Encoded:
    """Encode the sentences of documents; a special token spelled out in a text is ordinary text."""
    lengths: list[int] = []
    token = token_type(tokenizer.get_vocab_size())
    parts: list[Ids] = [np.zeros(0, token)]
    with _as_text(tokenizer):
        for batch in _batches(chain.from_iterable(documents)):
            encodings = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            parts.append(np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), token))
            lengths.extend(map(len, encodings))
    return _bordered(parts, lengths, [len(sentences) for sentences in documents])


def continues(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Say of every piece whether it continues a word: ## for WordPiece, no leading Ġ for byte-level; shape [V]."""
    continues_V = np.zeros(tokenizer.get_vocab_size(), dtype=np.bool_)
    by_mark = type(tokenizer.model).__name__ == "WordPiece"
    for piece, at in tokenizer.get_vocab().items():
        continues_V[at] = piece.startswith(CONTINUING) if by_mark else not piece.startswith(WORD_START)
    continues_V[special_ids(tokenizer)] = False
    return continues_V


def special_ids(tokenizer: Tokenizer) -> list[int]:
    """List the ids of the five special tokens, in the order of `SPECIALS`.

    Raises: DataError if the vocabulary lacks one.
    """
    found = {token: tokenizer.token_to_id(token) for token in SPECIALS}
    missing = [token for token, at in found.items() if at is None]
    if missing:
        raise DataError(f"tokenizer: {', '.join(missing)} not in the vocabulary; expected {', '.join(SPECIALS)}")
    return [at for at in found.values() if at is not None]


@contextmanager
def _as_text(tokenizer: Tokenizer) -> Iterator[None]:
    before = tokenizer.encode_special_tokens
    tokenizer.encode_special_tokens = True
    try:
        yield
    finally:
        tokenizer.encode_special_tokens = before


def _batches(sentences: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(sentences, SENTENCES_PER_CALL)):
        yield batch


def _bordered(parts: list[Ids], lengths: list[int], sentences: list[int]) -> Encoded:
    lengths_S = np.array(lengths, dtype=np.int64)
    full_at = _borders(lengths_S > 0)  # how many sentences with ids stand before each
    return Encoded(
        np.concatenate(parts),
        _borders(lengths_S[lengths_S > 0]),
        full_at[_borders(np.array(sentences, dtype=np.int64))],
    )


def _borders(lengths: NDArray[np.int64] | NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
