"""Numbered documents: every token tells where it is from, so an example can be traced back."""

import numpy as np
from hypothesis import strategies as st

from pipeline.objectives.segments import Examples
from pipeline.text.encode import Encoded

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


def segments(examples: Examples, at: int) -> tuple[list[int], list[int]]:
    """Take an example apart, checking its layout; return the shard's token numbers of A and B."""
    ids = examples.ids[examples.at[at] : examples.at[at + 1]].tolist()
    second_at = int(examples.second_at[at])
    assert ids[0] == CLS
    assert ids[second_at - 1] == SEP
    assert ids[-1] == SEP
    first, second = ids[1 : second_at - 1], ids[second_at:-1]
    assert min(first + second) >= FIRST
    return [token - FIRST for token in first], [token - FIRST for token in second]


def row_of(encoded: Encoded, tokens: list[int]) -> int:
    """Find the one document that a segment is from, checking that it is a stretch without gaps."""
    assert tokens == list(range(tokens[0], tokens[-1] + 1))
    rows = np.searchsorted(encoded.token_at, [tokens[0], tokens[-1]], side="right") - 1
    assert rows[0] == rows[1]
    return int(rows[0])
