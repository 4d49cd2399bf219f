"""Tokenizers trained from word counts: the same counts, in any order, give the same bytes.

A word is what the finished tokenizer will see as one: normalised and cut by the same components. The five special tokens
have the ids 0 to 4 in every algorithm. Nothing heavy is imported before it is used: config lists `ALGORITHMS`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import DataError
from pipeline.text.vocab.algorithm import CLS, MASK, PAD, SEP, SPECIALS, UNK, Algorithm, Pieces, Split
from pipeline.text.vocab.bpe import BPE
from pipeline.text.vocab.existing import tokenizer_files
from pipeline.text.vocab.unigram import UNIGRAM
from pipeline.text.vocab.wordpiece import WORDPIECE

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer

__all__ = [
    "ALGORITHMS",
    "CLS",
    "MASK",
    "PAD",
    "SEP",
    "SPECIALS",
    "UNK",
    "Algorithm",
    "Pieces",
    "Split",
    "algorithm_of",
    "build",
    "count_words",
    "learn_pieces",
    "save",
    "split_by",
    "splitter",
    "tokenizer_files",
    "train",
    "wordpiece",
]

ALGORITHMS: dict[str, Algorithm] = {
    "wordpiece": WORDPIECE,
    "bpe": BPE,
    "unigram": UNIGRAM,
}
"""The choices of `recipe.tokenizer.algorithm`."""


def splitter(algorithm: str, *, lowercase: bool) -> Split:
    """Make the function that normalises a text and cuts it into the words that the tokenizer will see."""
    way = ALGORITHMS[algorithm]
    return Split(split_by(way.components(lowercase)).any_text, way.plain(lowercase))


def split_by(tokenizer: "Tokenizer") -> Split:
    """Make the function that normalises a text and cuts it into words as a tokenizer does."""
    normalizer, cutter = tokenizer.normalizer, tokenizer.pre_tokenizer

    def cut(text: str) -> list[str]:
        normal = normalizer.normalize_str(text) if normalizer else text
        return [word for word, _ in cutter.pre_tokenize_str(normal)] if cutter else [normal]

    return Split(cut, cut)


def count_words(sentences: Iterable[str], split: Split) -> "pa.Table":
    """Count the words of sentences; gives WORDS."""
    from pipeline.text.counting import count_words

    return count_words(sentences, split)


def train(algorithm: str, words: "pa.Table", *, vocab_size: int, lowercase: bool) -> "Tokenizer":
    """Learn a vocabulary from WORDS and build its tokenizer.

    Raises: DataError if the corpus is too small for that many pieces, or its characters alone are more.
    """
    return build(algorithm, learn_pieces(algorithm, words, vocab_size=vocab_size), lowercase=lowercase)


def learn_pieces(algorithm: str, words: "pa.Table", *, vocab_size: int) -> Pieces:
    """Learn exactly `vocab_size` pieces: specials, then the alphabet, then what the algorithm makes of it.

    Raises: DataError if the corpus is too small for them, or its characters alone are more.
    """
    found = ALGORITHMS[algorithm].learn(words, vocab_size)
    if len(found.pieces) > vocab_size:
        raise DataError(
            f"recipe.tokenizer.vocab_size={vocab_size} is too small: the special tokens and the characters of the corpus "
            f"alone are {len(found.pieces)} pieces; raise it to more than that"
        )
    if len(found.pieces) < vocab_size:
        raise DataError(
            f"recipe.tokenizer.vocab_size={vocab_size} is more than the corpus yields: {len(found.pieces)} pieces; "
            f"lower recipe.tokenizer.vocab_size to at most {len(found.pieces)} or add text"
        )
    return found


def build(algorithm: str, pieces: Pieces, *, lowercase: bool) -> "Tokenizer":
    """Build the tokenizer for a vocabulary: [CLS] A [SEP], or [CLS] A [SEP] B [SEP] with segment 1 from B on."""
    from pipeline.text.vocab.folder import finished

    tokenizer = ALGORITHMS[algorithm].components(lowercase)
    tokenizer.model = ALGORITHMS[algorithm].model(pieces)
    return finished(tokenizer)


def wordpiece(pieces: Iterable[str], *, lowercase: bool) -> "Tokenizer":
    """Build a WordPiece tokenizer from the lines of a vocab.txt made elsewhere; its specials may have any ids."""
    return build("wordpiece", Pieces(tuple(pieces)), lowercase=lowercase)


def save(tokenizer: "Tokenizer", out: Path) -> None:
    """Write a folder that `transformers.AutoTokenizer` loads unchanged; equal tokenizers give equal bytes."""
    from pipeline.text.vocab.folder import save

    save(tokenizer, out, algorithm_of(tokenizer).settings(tokenizer))


def algorithm_of(tokenizer: "Tokenizer") -> Algorithm:
    """Find the algorithm of a tokenizer by the class of its model.

    Raises: DataError if it is none of ours.
    """
    name = type(tokenizer.model).__name__
    for way in ALGORITHMS.values():
        if way.model_name == name:
            return way
    known = ", ".join(way.model_name for way in ALGORITHMS.values())
    raise DataError(f"tokenizer: its model is {name}; expected one of {known}")
