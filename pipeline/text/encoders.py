"""Three ways to the same ids, the fastest first; which one a text is encoded by is decided by `encode.choose`.

Letters: N tokens or chunks as they occur, S sentences, C distinct chunks.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from pipeline.text.encoded import SENTENCES_PER_CALL, Encoder, Ids, Lengths, Sentences, token_type
from pipeline.text.vocab import algorithm_of
from pipeline.text.vocab.algorithm import Cut
from pipeline.text.vocab.unigram import SPELLED_OUT

MOST_CHUNKS = 1 << 20
"""Distinct chunks remembered before all are forgotten: about 50 MB."""


class Library:
    """The `tokenizers` library: what the others must equal."""

    name = "tokenizers"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._token = token_type(tokenizer.get_vocab_size())

    def encode(self, sentences: Sentences) -> tuple[Ids, Lengths]:
        """Encode sentences, some thousands at a time."""
        texts: Sequence[Any] = sentences.to_pylist() if isinstance(sentences, pa.Array) else sentences
        ids, lengths = [np.zeros(0, self._token)], list[int]()
        for at in range(0, len(texts), SENTENCES_PER_CALL):
            encoded = self.encode_each(texts[at : at + SENTENCES_PER_CALL])
            ids.append(np.fromiter(chain.from_iterable(encoded), self._token))
            lengths.extend(map(len, encoded))
        return np.concatenate(ids), np.array(lengths, dtype=np.int64)

    def encode_each(self, texts: Sequence[str]) -> list[list[int]]:
        """Give the ids of each text."""
        with _as_text(self._tokenizer):
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]


class Nanotoken:
    """WordPiece by `nanotoken`, on one core; special tokens are taken out of its settings, so that they are text."""

    name = "nanotoken"

    def __init__(self, tokenizer: Tokenizer) -> None:
        from nanotoken import Tokenizer as Nano

        settings = json.loads(tokenizer.to_str())
        settings["added_tokens"] = [token for token in settings["added_tokens"] if not token["special"]]
        settings["post_processor"] = None
        self._backend = Nano.from_json(json.dumps(settings)).backend
        self._token = token_type(tokenizer.get_vocab_size())

    def encode(self, sentences: Sentences) -> tuple[Ids, Lengths]:
        """Encode sentences; as bytes, because Arrow makes those seven times faster than text."""
        texts: list[Any]
        if isinstance(sentences, pa.Array):
            binary = pa.large_binary() if pa.types.is_large_string(sentences.type) else pa.binary()
            texts = sentences.cast(binary).to_numpy(zero_copy_only=False).tolist()
        else:
            texts = [sentence.encode() for sentence in sentences]
        ids_N, borders_S = self._backend.encode_batch(texts, add_special_tokens=False, parallel=False)
        return ids_N.astype(self._token), np.diff(borders_S)


class DistinctChunks:
    """Chunks between lone spaces, each encoded once; the words of those in printable ASCII once too, if it is known how
    to cut these without the library, for which a chunk of its own costs 15 microseconds.
    """

    name = "distinct chunks"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._library = Library(tokenizer)
        self._token = token_type(tokenizer.get_vocab_size())
        self._tokenize = tokenizer.model.tokenize
        self._cut = _plain_cut(tokenizer)
        self._forget()

    def _forget(self) -> None:
        from pipeline.text.chunks import Chunks

        self._chunks = Chunks()
        self._words: dict[str, list[int]] = {}
        self._ids = np.zeros(0, self._token)
        self._ends_C = np.zeros(1, dtype=np.int64)

    def encode(self, sentences: Sentences) -> tuple[Ids, Lengths]:
        """Encode the chunks not met before, and gather."""
        from pipeline.text.gather import gather

        if self._chunks.count > MOST_CHUNKS:
            self._forget()
        before = self._chunks.count
        numbers_N, per_S = self._chunks.number(sentences)
        if self._chunks.count > before:
            ids, lengths_C = self._encode_new(before)
            self._ids = np.concatenate([self._ids, ids])
            self._ends_C = np.concatenate([self._ends_C, self._ends_C[-1] + np.cumsum(lengths_C)])
        return gather(self._ids, self._ends_C, numbers_N, per_S)

    def _encode_new(self, first: int) -> tuple[Ids, Lengths]:
        from pipeline.text.chunks import PLAIN

        texts: list[Any] = self._chunks.since(first).to_pylist()
        if self._cut is None:
            return self._library.encode(texts)
        plain = (self._chunks.kinds(first) == PLAIN).tolist()
        others = iter(
            self._library.encode_each([text for text, is_plain in zip(texts, plain, strict=True) if not is_plain])
        )
        found = [
            self._of_words(self._cut(text)) if is_plain else next(others)
            for text, is_plain in zip(texts, plain, strict=True)
        ]
        lengths_C = np.fromiter(map(len, found), np.int64, count=len(found))
        return np.fromiter(chain.from_iterable(found), self._token, count=int(lengths_C.sum())), lengths_C

    def _of_words(self, words: list[str]) -> list[int]:
        ids: list[int] = []
        for word in words:
            known = self._words.get(word)
            if known is None:
                known = self._words[word] = [token.id for token in self._tokenize(word)]
            ids += known
        return ids


def nanotoken(tokenizer: Tokenizer) -> Encoder | None:
    """Make the fastest encoder of WordPiece."""
    return Nanotoken(tokenizer) if _parts(tokenizer)["model"]["type"] == "WordPiece" else None


def distinct_chunks(tokenizer: Tokenizer) -> Encoder | None:
    """Make the encoder of distinct chunks where the ids of a text are those of its chunks."""
    return DistinctChunks(tokenizer) if is_sum_of_chunks(tokenizer) else None


def is_sum_of_chunks(tokenizer: Tokenizer) -> bool:
    """Say whether a tokenizer's words surely end at a lone space between visible characters.

    So it is where every part is known to look at one character, or at one word begun by a space, at a time; an added
    token that is not special could span a space.
    """
    parts = _parts(tokenizer)
    if any(not token["special"] for token in parts["added_tokens"]) or parts["truncation"] or parts["padding"]:
        return False
    return _is_local(parts["normalizer"]) and _begins_at_spaces(parts["pre_tokenizer"])


def _plain_cut(tokenizer: Tokenizer) -> Cut | None:
    """Find how to cut printable ASCII without the library: where a tokenizer has the parts of one of our algorithms."""
    found, way = _parts(tokenizer), algorithm_of(tokenizer)
    for lowercase in (True, False):
        ours = _parts(way.components(lowercase))
        if all(found[part] == ours[part] for part in ("normalizer", "pre_tokenizer")):
            return way.plain(lowercase)
    return None


def _is_local(normalizer: dict[str, Any] | None) -> bool:
    if normalizer is None:
        return True
    if normalizer["type"] == "Sequence":
        return all(_is_local(part) for part in normalizer["normalizers"])
    if normalizer["type"] == "Replace":
        return bool(normalizer["pattern"] == {"Regex": r"\s+"} and normalizer["content"] == " ")
    return normalizer["type"] in {"BertNormalizer", "NFD", "NFC", "Lowercase", "StripAccents", "Strip"}


def _begins_at_spaces(cutter: dict[str, Any] | None) -> bool:
    match cutter:
        case {"type": "BertPreTokenizer" | "Whitespace" | "WhitespaceSplit"}:
            return True
        case {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}:
            return True
        case {"type": "Metaspace", "prepend_scheme": "always", "split": True}:
            return True
        case {"type": "Sequence", "pretokenizers": [first, {"type": "Split", "pattern": {"Regex": pattern}}]}:
            return bool(pattern == SPELLED_OUT) and _begins_at_spaces(first)
    return False


def _parts(tokenizer: Tokenizer) -> dict[str, Any]:
    parts: dict[str, Any] = json.loads(tokenizer.to_str())
    return parts


@contextmanager
def _as_text(tokenizer: Tokenizer) -> Iterator[None]:
    before = tokenizer.encode_special_tokens
    tokenizer.encode_special_tokens = True
    try:
        yield
    finally:
        tokenizer.encode_special_tokens = before


ENCODERS: dict[str, Callable[[Tokenizer], Encoder | None]] = {
    "nanotoken": nanotoken,
    "distinct chunks": distinct_chunks,
}
"""What to try before the library, the fastest first."""
