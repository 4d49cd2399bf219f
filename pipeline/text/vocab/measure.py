"""How well a vocabulary fits text that it was not learned from."""

from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from pipeline.text.columns import numbers_of
from pipeline.text.vocab.algorithm import UNK

Figures = dict[str, float | int | str]


def measure(tokenizer: Tokenizer, words: pa.Table) -> Figures:
    """Measure a vocabulary on the held-out words of WORDS, or on all of them where none is held out.

    `fertility` is pieces a running word, `unknown_rate` the share of running words with an unknown piece, `coverage` the
    share that are one known piece. A word is what the tokenizer's own splitter makes one; for WordPiece each punctuation
    mark is.

    Source: Rust et al. 2021, How good is your tokenizer?, section 4 (fertility; their proportion of continued words is
    1 - coverage where nothing is unknown).
    """
    held = bool(np.any(numbers_of(words["held_out"])))
    column = "held_out" if held else "count"
    present = words.filter(pa.array(numbers_of(words[column]) > 0))
    texts: list[Any] = present["word"].to_pylist()
    unknown, tokenize = tokenizer.token_to_id(UNK), tokenizer.model.tokenize
    running = pieces = unknowns = whole = 0
    for word, count in zip(texts, numbers_of(present[column]).tolist(), strict=True):
        ids = [token.id for token in tokenize(word)]
        running += count
        pieces += count * len(ids)
        unknowns += count * (unknown in ids)
        whole += count * (len(ids) == 1 and ids[0] != unknown)
    most = max(running, 1)
    return {
        "measured_on": "held-out documents" if held else "all documents",
        "measured_words": running,
        "fertility": pieces / most,
        "unknown_rate": unknowns / most,
        "coverage": whole / most,
    }
