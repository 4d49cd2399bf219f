"""Texts to be signed and compared, and the exact share of shingles that two of them have in common."""

import numpy as np
import pyarrow as pa

from pipeline.text.near.clusters import Cluster, Standing, clusters, near_duplicates
from pipeline.text.near.loops import Signatures
from pipeline.text.near.signatures import signatures

WORDS, NUMBERS, BANDS, THRESHOLD = 5, 128, 16, 0.8  # the recipe's defaults
TALE = [
    "It was the best of times, it was the worst of times.",
    "It was the age of wisdom; it was the age of foolishness!",
]


def signed(documents: list[list[str]], words: int = WORDS, numbers: int = NUMBERS) -> Signatures:
    return signatures(pa.array(documents, pa.list_(pa.string())), shingle_words=words, permutations=numbers)


def jaccard(first: str, second: str, words: int = WORDS) -> float:
    """The exact share, by Python's sets: the oracle."""
    one, two = (
        {tuple(text[at : at + words]) for at in range(len(text) - words + 1)}
        for text in (first.split(), second.split())
    )
    return len(one & two) / len(one | two)


def random_text(rng: np.random.Generator, words: int) -> str:
    return " ".join(f"w{number}" for number in rng.integers(0, 5000, words))


def edited(rng: np.random.Generator, text: str, rate: float) -> str:
    """Replace a share of the words."""
    return " ".join(f"x{at}" if rng.random() < rate else word for at, word in enumerate(text.split()))


def found(texts: list[str], *, bands: int = BANDS, threshold: float = THRESHOLD) -> list[Cluster]:
    """Look for near-duplicates among texts that are called by their numbers."""
    standing = Standing(pa.array([f"{at:06}" for at in range(len(texts))]), np.zeros(len(texts)), np.ones(len(texts)))
    return clusters(near_duplicates(signed([[text] for text in texts]), standing, bands=bands, threshold=threshold))


def chain(lengths: int, step: int) -> Signatures:
    """Signatures in a row, each differing from the one before in `step` more numbers."""
    rows = np.zeros((lengths, NUMBERS), np.uint32)
    for at in range(lengths):
        rows[at:, (at * step) % NUMBERS : (at * step) % NUMBERS + step] = at + 1
    return rows
