"""Numbered documents: every token tells where it is from, so an example can be traced back."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from pipeline.objectives.segments import Examples, Keys
from pipeline.text.encoded import Encoded

settings.register_profile("compiled", deadline=None)  # the first call of a kernel may compile it
settings.load_profile("compiled")

CLS, SEP = 1, 2
FIRST = 10
"""Ids from here on number the tokens of the shard, so that every token of an example tells where it is from."""

sentences = st.integers(1, 12)
documents = st.lists(st.lists(sentences, max_size=9), max_size=6)


def numbered(lengths: list[list[int]]) -> Encoded:
    """Documents given as the lengths of their sentences; token n has the id FIRST + n."""
    flat = [length for document in lengths for length in document]
    return Encoded(
        np.arange(FIRST, FIRST + sum(flat), dtype=np.uint32),
        np.cumsum([0, *flat]),
        np.cumsum([0, *(len(document) for document in lengths)]),
    )


def keys(encoded: Encoded) -> Keys:
    """Number the documents."""
    return np.arange(len(encoded.document_at) - 1, dtype=np.uint64)


def segments(examples: Examples, at: int) -> tuple[list[int], list[int]]:
    """Take an example apart, checking its layout; return the shard's token numbers of A and B."""
    first, *others = stretches(examples, at)
    second_at = len(first) + 2
    assert examples.second_at[at] == second_at
    assert len(others) <= 1
    return first, others[0] if others else []


def stretches(examples: Examples, at: int) -> list[list[int]]:
    """Take an example apart at its [SEP]s; return the token numbers of each stretch."""
    ids = examples.ids[examples.at[at] : examples.at[at + 1]].tolist()
    assert ids[0] == CLS
    assert ids[-1] == SEP
    found: list[list[int]] = [[]]
    for token in ids[1:-1]:
        if token == SEP:
            found.append([])
        else:
            assert token >= FIRST
            found[-1].append(token - FIRST)
    return found


def tokens(examples: Examples, at: int) -> list[int]:
    """Return the token numbers of an example's text."""
    return [token for stretch in stretches(examples, at) for token in stretch]


def rows(examples: Examples, at: int) -> list[int]:
    """List the documents that an example names."""
    return examples.documents[examples.documents_at[at] : examples.documents_at[at + 1]].tolist()


def row_of(encoded: Encoded, tokens: list[int]) -> int:
    """Find the one document that a segment is from, checking that it is a stretch without gaps."""
    assert tokens == list(range(tokens[0], tokens[-1] + 1))
    rows = np.searchsorted(encoded.token_at, [tokens[0], tokens[-1]], side="right") - 1
    assert rows[0] == rows[1]
    return int(rows[0])
