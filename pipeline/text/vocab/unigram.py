"""Unigram, as in SentencePiece: of all ways to cut a word the likeliest; every word begins with ▁."""

import re
from typing import TYPE_CHECKING, Any

from pipeline.text.vocab.algorithm import SPECIALS, UNK, Algorithm, Cut, Pieces

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer

WORD_START = "▁"
SPELLED_OUT = rf"\[(?={'|'.join(token[1:].replace(']', chr(92) + ']') for token in SPECIALS)})"
"""The bracket that begins a special token's name: cut off, because the model would take the rest for the token."""


def components(lowercase: bool) -> "Tokenizer":
    """Every word begins with ▁, also at the start of a text; any whitespace is a space."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.Unigram())
    folded = [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()] if lowercase else []
    tidied = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence([*folded, *tidied])
    spaces = pre_tokenizers.Metaspace(replacement=WORD_START, prepend_scheme="always", split=True)
    names = pre_tokenizers.Split(Regex(SPELLED_OUT), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([spaces, names])
    tokenizer.decoder = decoders.Metaspace(replacement=WORD_START, prepend_scheme="always", split=True)
    return tokenizer


def plain(lowercase: bool) -> Cut:
    """Cut printable ASCII at spaces."""
    spelled_out = re.compile(f"({SPELLED_OUT})")

    def cut(text: str) -> list[str]:
        words = [WORD_START + word for word in (text.lower() if lowercase else text).split(" ")]
        if not spelled_out.search(text):
            return words
        return [part for word in words for part in spelled_out.split(word) if part]

    return cut


def model(pieces: Pieces) -> Any:
    """Make the library's model."""
    from tokenizers.models import Unigram

    return Unigram(list(zip(pieces.pieces, pieces.scores, strict=True)), SPECIALS.index(UNK), False)


def learn(words: "pa.Table", size: int) -> Pieces:
    """Find the likeliest pieces by expectation and maximisation, fewer in each round."""
    from pipeline.text.vocab.likelihood import likeliest

    found = likeliest(words, size - len(SPECIALS))
    return Pieces((*SPECIALS, *(piece for piece, _ in found)), (), (*(0.0 for _ in SPECIALS), *(s for _, s in found)))


def continues(piece: str) -> bool:
    """Say whether a piece continues a word."""
    return not piece.startswith(WORD_START)


UNIGRAM = Algorithm(
    summary="the likeliest way to cut each word, as in SentencePiece",
    components=components,
    plain=plain,
    learn=learn,
    model=model,
    model_name="Unigram",
    continues=continues,
    settings=lambda _: {"tokenizer_class": "PreTrainedTokenizerFast"},
)
