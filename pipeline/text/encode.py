"""Documents to token ids.

Any encoder may do the work that gives the ids of the `tokenizers` library; `choose` takes the fastest that is seen to.

Letters: N tokens, S sentences, D documents, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import Tokenizer

from pipeline.core.errors import DataError
from pipeline.text.encoded import SENTENCES_PER_CALL, Encoded, Encoder, Ids, Lengths
from pipeline.text.vocab import SPECIALS, algorithm_of

HOSTILE = (
    "a [MASK] and a [SEP] spelled out, [UNK]",
    "  two  spaces\tand\u00a0others\u2028here ",
    "e\u0301 \u0301x \u200b\u2060 \x00\x0b soft\u00adhyphen \ufffd",
    "漢字かな交じり文 한국어 ไทย नमस्ते 🙂👩‍👩‍👧 İI ΌΣΟΣ",
    "x" * 101 + " don't 3.14 U.S.A.'s — “quoted”…",
)
"""Encoded by the gate besides the sample: what encoders are known to differ on."""


@dataclass(frozen=True)
class Choice:
    """The encoder to use, and what is to be told about it: why a faster one was passed over."""

    encoder: Encoder
    warning: str | None = None


def load(folder: Path) -> Tokenizer:
    """Load a saved tokenizer.

    Raises: DataError if the folder holds no tokenizer.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise DataError(f"{path}: no tokenizer there; expected the folder of a tokenizer artifact")
    return Tokenizer.from_file(str(path))


Candidate = Callable[[Tokenizer], Encoder | None]
"""Makes an encoder for a tokenizer; None if it is not meant for it."""


class Gate:
    """Chooses encoders for one tokenizer, for one sample of text after another; each is made once."""

    def __init__(self, tokenizer: Tokenizer, candidates: Mapping[str, Candidate] | None = None) -> None:
        from pipeline.text.encoders import ENCODERS, Library

        self.tokenizer = tokenizer
        self._library = Library(tokenizer)
        self._candidates = ENCODERS if candidates is None else candidates
        self._made: dict[str, Encoder | None] = {}

    def choose(self, sample: Sequence[str]) -> Choice:
        """Choose the first candidate that gives the ids of the library; one that makes None is not meant for the tokenizer."""
        texts = [*sample, *HOSTILE]
        expected = self._library.encode(texts)
        passed_over: list[str] = []
        for name in self._candidates:
            try:
                encoder = self._make(name)
                problem = _difference(texts, expected, encoder.encode(texts)) if encoder else ""
            except Exception as error:  # noqa: BLE001 - whatever a library of others raises: there is always another way
                encoder, problem = None, f"{type(error).__name__}: {error}"
            if encoder and not problem:
                return Choice(encoder, _warning(passed_over, name))
            if problem:
                passed_over.append(f"{name} ({problem})")
        return Choice(self._library, _warning(passed_over, self._library.name))

    def _make(self, name: str) -> Encoder | None:
        if name not in self._made:
            self._made[name] = self._candidates[name](self.tokenizer)
        return self._made[name]


def encode_documents(encoder: Encoder, sentences: "pa.ListArray[Any] | pa.ChunkedArray[Any]") -> Encoded:
    """Encode documents given as the lists of their sentences, the column `sentences` of DOCUMENTS."""
    chunks = sentences.chunks if isinstance(sentences, pa.ChunkedArray) else [sentences]
    ids, lengths, counts = [], [], []
    for chunk in chunks:
        counts.append(np.asarray(pc.list_value_length(chunk), dtype=np.int64))
        flat: Any = pc.list_flatten(chunk)
        for at in range(0, len(flat), SENTENCES_PER_CALL):
            ids_N, lengths_S = encoder.encode(flat[at : at + SENTENCES_PER_CALL])
            ids.append(ids_N)
            lengths.append(lengths_S)
    none_N, none_S = encoder.encode([])
    lengths_S = np.concatenate([none_S, *lengths])
    full_at = _borders(lengths_S > 0)  # how many sentences with ids stand before each
    return Encoded(
        np.concatenate([none_N, *ids]),
        _borders(lengths_S[lengths_S > 0]),
        full_at[_borders(np.concatenate([none_S, *counts]))],
    )


def continues(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Say of every piece whether it continues a word: ## for WordPiece, no leading Ġ or ▁ for the others; shape [V]."""
    way = algorithm_of(tokenizer)
    continues_V = np.zeros(tokenizer.get_vocab_size(), dtype=np.bool_)
    for piece, at in tokenizer.get_vocab().items():
        continues_V[at] = way.continues(piece)
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


def _difference(texts: Sequence[str], expected: tuple[Ids, Lengths], found: tuple[Ids, Lengths]) -> str:
    """Name the first text that is encoded otherwise; empty if all are the same."""
    at_E, at_F = _borders(expected[1]), _borders(found[1])
    if len(at_E) != len(at_F):
        return f"{len(at_F) - 1} sentences for {len(at_E) - 1}"
    for s, text in enumerate(texts):
        if not np.array_equal(expected[0][at_E[s] : at_E[s + 1]], found[0][at_F[s] : at_F[s + 1]]):
            return f"other ids than the library for {text[:60]!r}"
    return ""


def _warning(passed_over: list[str], used: str) -> str | None:
    return f"recipe.tokenizer: {'; '.join(passed_over)}; encoded by {used}, slower" if passed_over else None


def _borders(lengths: NDArray[np.int64] | NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
