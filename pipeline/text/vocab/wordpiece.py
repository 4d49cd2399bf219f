"""WordPiece, as in BERT: words cut into the longest known pieces, of which all but the first are marked ##."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.text.vocab.algorithm import SPECIALS, UNK, Algorithm, Cut, Pieces

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer

CONTINUING = "##"
WORD_CHARACTERS = 100
"""Longer words are [UNK] to WordPiece, as in Hugging Face's BERT tokenizer, so nothing is learned from them."""
NORMALISED = {
    "do_lower_case": ("lowercase", False),
    "strip_accents": ("strip_accents", None),
    "tokenize_chinese_chars": ("handle_chinese_chars", True),
}
"""Setting of transformers' BertTokenizer -> the name of `BertNormalizer` for it, and what holds without one."""


def components(lowercase: bool) -> "Tokenizer":
    """Make BERT's normaliser and splitter."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece({UNK: 0}, unk_token=UNK))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUING)
    return tokenizer


def plain(lowercase: bool) -> Cut:
    """Cut printable ASCII: runs of letters and digits, and every other character alone."""
    cut = re.compile("[a-zA-Z0-9]+|[^ ]").findall
    return (lambda text: cut(text.lower())) if lowercase else cut


def model(pieces: Pieces) -> Any:
    """Make the library's model."""
    from tokenizers.models import WordPiece

    vocab = {piece: at for at, piece in enumerate(pieces.pieces)}
    return WordPiece(
        vocab, unk_token=UNK, continuing_subword_prefix=CONTINUING, max_input_chars_per_word=WORD_CHARACTERS
    )


def learn(words: "pa.Table", size: int) -> Pieces:
    """Merge pairs, starting from the commonest characters: as they begin a word, then as they continue one."""
    from pipeline.text.vocab import spelling
    from pipeline.text.vocab.merges import merge

    spelled = spelling.spell(words, WORD_CHARACTERS)
    kept = spelling.alphabet(spelled)
    start, inside = sorted(kept), sorted(kept.intersection(spelling.inside(spelled)))
    pieces = [*SPECIALS, *start, *(CONTINUING + character for character in inside)]
    begins = [True] * (len(SPECIALS) + len(start)) + [False] * len(inside)
    symbols = spelling.symbols(spelled, _numbered(start, len(SPECIALS)), _numbered(inside, len(SPECIALS) + len(start)))
    return merge(symbols, pieces, begins, size=size, joined=_joined)


def settings(tokenizer: "Tokenizer") -> dict[str, Any]:
    """Give what transformers needs to know of it: there these settings go before those of tokenizer.json."""
    normalizer = tokenizer.normalizer
    known = {setting: getattr(normalizer, name, default) for setting, (name, default) in NORMALISED.items()}
    return {"tokenizer_class": "BertTokenizer"} | {name: value for name, value in known.items() if value is not None}


def normalise_as(tokenizer: "Tokenizer", told: Mapping[str, Any]) -> None:
    """Let a tokenizer fold case, accents and ideographs as transformers' settings say; what they leave out stays."""
    from tokenizers.normalizers import BertNormalizer

    known = {setting: getattr(tokenizer.normalizer, name) for setting, (name, _) in NORMALISED.items()}
    found = {NORMALISED[setting][0]: value for setting, value in (known | _only(told)).items()}
    tokenizer.normalizer = BertNormalizer(**found)


def _only(told: Mapping[str, Any]) -> dict[str, Any]:
    return {setting: told[setting] for setting in NORMALISED if setting in told}


def continues(piece: str) -> bool:
    """Say whether a piece continues a word."""
    return piece.startswith(CONTINUING)


def _numbered(characters: Iterable[str], first: int) -> dict[str, int]:
    return {character: at for at, character in enumerate(characters, first)}


def _joined(left: str, right: str) -> str:
    return left + right.removeprefix(CONTINUING)


WORDPIECE = Algorithm(
    summary="words cut into the longest known pieces, as in BERT",
    components=components,
    plain=plain,
    learn=learn,
    model=model,
    model_name="WordPiece",
    continues=continues,
    settings=settings,
)
