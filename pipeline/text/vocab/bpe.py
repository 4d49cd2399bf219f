"""Byte-level byte-pair encoding, as in RoBERTa: any text is spelled, every word begins with Ġ."""

import re
from typing import TYPE_CHECKING, Any

from pipeline.text.vocab.algorithm import SPECIALS, Algorithm, Cut, Pieces

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer

WORD_START = "Ġ"
"""How byte-level pieces spell the space that begins a word."""


def components(lowercase: bool) -> "Tokenizer":
    """Every word begins with Ġ, also at the start of a text: sentences encoded one by one join to the whole's ids."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    if lowercase:  # and without accents, as in WordPiece
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]
        )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def plain(lowercase: bool) -> Cut:
    """Cut printable ASCII as GPT-2 does: contractions, letters, digits, others, each with the space before it."""
    cut = re.compile(f"'(?:[stmd]|re|ve|ll)|{WORD_START}?(?:[a-zA-Z]+|[0-9]+|[^{WORD_START}a-zA-Z0-9]+)").findall

    def split(text: str) -> list[str]:
        text = text.lower() if lowercase else text
        return cut(WORD_START + text.replace(" ", WORD_START))

    return split


def model(pieces: Pieces) -> Any:
    """Make the library's model."""
    from tokenizers.models import BPE

    return BPE({piece: at for at, piece in enumerate(pieces.pieces)}, list(pieces.merges))


def learn(words: "pa.Table", size: int) -> Pieces:
    """Merge pairs, starting from all 256 bytes in the library's printable spelling."""
    from tokenizers.pre_tokenizers import ByteLevel

    from pipeline.text.vocab import spelling
    from pipeline.text.vocab.merges import merge

    alphabet = sorted(ByteLevel.alphabet())
    numbers = {character: at for at, character in enumerate(alphabet, len(SPECIALS))}
    pieces = [*SPECIALS, *alphabet]
    symbols = spelling.symbols(spelling.spell(words, None), numbers, numbers)
    return merge(symbols, pieces, [True] * len(pieces), size=size, joined=str.__add__)


def continues(piece: str) -> bool:
    """Say whether a piece continues a word."""
    return not piece.startswith(WORD_START)


BPE = Algorithm(
    summary="byte-level byte-pair encoding, as in RoBERTa: no unknown text",
    components=components,
    plain=plain,
    learn=learn,
    model=model,
    model_name="BPE",
    continues=continues,
    settings=lambda _: {"tokenizer_class": "PreTrainedTokenizerFast"},
)
