"""Signatures: documents whose shingles overlap agree in as large a share of their numbers.

One pass over the UTF-8 bytes hashes words, and runs of words to shingles; what editions of a text differ in (punctuation,
spaces, case, accents, soft hyphens) never reaches a hash. The sketch is Dahlgaard's: every shingle falls into one of P bins,
which keep their least hash; only where bins stay empty, which is in short documents, all shingles are dealt out again. So
a book costs one hash a shingle and not P, and a page of ten words is estimated as well as by P permutations.
Nothing is drawn: the same text gives the same signature in every process, on every machine.

Letters: D documents, P numbers of a signature, S sentences.

Source: Broder 1997, On the resemblance and containment of documents (shingles); Dahlgaard, Knudsen and Thorup 2017,
Fast similarity sketching (the bins); Li, Owen and Zhang 2012, One permutation hashing (its first round).
"""

import unicodedata
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.text.near.loops import ALONE, BORDER, NOTHING, SILENT, Bytes, Ints, Letters, Signatures, sign

PLANE = 1 << 16
IDEOGRAPHS = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00))
"""Words by themselves, as for BERT's tokenizer (Devlin et al. 2019, tokenization.py)."""
ACCENTS = (0x0300, 0x0370)


def signatures(texts: "pa.Array[Any] | pa.ChunkedArray[Any]", *, shingle_words: int, permutations: int) -> Signatures:
    """Make a signature [D, P] of each document, given as a list of sentences.

    A document of fewer words than a shingle is one shingle; one without any word is `NOTHING` throughout.

    Raises: DataError if the texts are not lists of strings.
    """
    ends_D, ends_S, text = _flat(texts)
    out_DP = np.empty((len(ends_D) - 1, permutations), np.uint32)
    if len(out_DP):
        most = int((np.diff(ends_S[ends_D]) // 2 + np.diff(ends_D)).max()) + 1
        sign(text, ends_S, ends_D, folding(), shingle_words, np.empty(most, np.uint64), out_DP)
    return out_DP


def similarities(first_NP: Signatures, second_NP: Signatures) -> NDArray[np.float64]:
    """Estimate the share of common shingles (Jaccard) row by row; a document without words is like no other.

    The standard error is `sqrt(share * (1 - share) / P)`.
    """
    same: NDArray[np.float64] = ((first_NP == second_NP) & (first_NP != NOTHING)).mean(axis=1)
    return same


@cache
def folding() -> Letters:
    """Give for each character of the first plane the letter it counts as, `BORDER` between words, `SILENT` within them."""
    folded = np.array([_folded(chr(code)) for code in range(PLANE)], np.uint32)
    for begin, end in IDEOGRAPHS:
        folded[begin:end] |= ALONE
    return folded


def _folded(character: str) -> int:
    """Fold case and accents; apostrophes and hyphens are borders like all punctuation."""
    kind = unicodedata.category(character)
    if kind == "Cf" or ACCENTS[0] <= ord(character) < ACCENTS[1]:
        return int(SILENT)
    if kind[0] not in "LMN":
        return int(BORDER)
    parts = unicodedata.normalize("NFD", character.lower())
    plain = [part for part in parts if not ACCENTS[0] <= ord(part) < ACCENTS[1]]
    return ord(plain[0]) if len(plain) == 1 else ord(character)


def _flat(texts: Any) -> tuple[Ints, Ints, Bytes]:
    """Give the borders of documents in sentences, of sentences in bytes, and the bytes; nothing but offsets is copied."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    if not (_is_list(texts.type) and _is_string(texts.type.value_type)):
        raise DataError(f"texts are {texts.type}, expected lists of strings: one list of sentences a document")
    ends_D = np.asarray(texts.offsets).astype(np.int64)
    sentences = texts.values
    offset_type = np.int64 if pa.types.is_large_string(sentences.type) else np.int32
    _, offsets, text = sentences.buffers()
    if offsets is None or not offsets.size:
        return ends_D, np.zeros(len(sentences) + 1, np.int64), np.empty(0, np.uint8)
    ends_S = np.frombuffer(offsets, offset_type, len(sentences) + 1, sentences.offset * offset_type().itemsize)
    return ends_D, ends_S.astype(np.int64), _bytes(text)


def _bytes(buffer: pa.Buffer | None) -> Bytes:
    return np.frombuffer(memoryview(buffer or b""), np.uint8)


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_string(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
