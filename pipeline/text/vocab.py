"""Tokenizers trained from word counts: the same counts, in any order, give the same bytes.

Counting is a map over shards (`count_words`) and a sum (`merge_counts`); `train` learns from the sum. A word is what the
finished tokenizer will see as one: normalised and cut by the same components. The five special tokens have the ids
0 to 4 in every algorithm. Nothing heavy is imported before it is used: config lists `ALGORITHMS`.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import DataError
from pipeline.text.merges import Pieces, learn

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNK, CLS, SEP, MASK = SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUING = "##"
WORD_CHARACTERS = 100
"""Longer words are [UNK] to WordPiece, as in Hugging Face's BERT tokenizer, so nothing is learned from them."""
ALPHABET = 1000
"""Characters WordPiece keeps, the commonest (Hugging Face `WordPieceTrainer`); words with others are [UNK]."""
MINIMUM_PAIR_COUNT = 2
"""A pair seen once teaches nothing (Hugging Face `BertWordPieceTokenizer`)."""
MODEL_INPUTS = ["input_ids", "token_type_ids", "attention_mask"]
BORDER = re.compile(r"(?<=\S) (?=\S)")
"""A lone space between two visible characters ends a word in every algorithm, whatever surrounds it."""

Split = Callable[[str], list[str]]


@dataclass(frozen=True)
class Algorithm:
    """One way to make a vocabulary: how text is cut into words, words into symbols, and symbols joined."""

    summary: str
    components: Callable[[bool], "Tokenizer"]  # lowercase -> a tokenizer without vocabulary
    model: Callable[[Pieces], Any]
    alphabet: Callable[[Mapping[str, int]], list[str]]
    symbols_of: Callable[[str], Iterable[str]]
    joined: Callable[[str, str], str]
    word_characters: int | None  # longer words are not learned from
    model_name: str  # the class of the library
    settings: Callable[["Tokenizer"], dict[str, Any]]  # of tokenizer_config.json


def splitter(algorithm: str, *, lowercase: bool) -> Split:
    """Make the function that normalises a text and cuts it into the words that the tokenizer will see."""
    tokenizer = ALGORITHMS[algorithm].components(lowercase)
    normalizer, cutter = tokenizer.normalizer, tokenizer.pre_tokenizer

    def split(text: str) -> list[str]:
        normal = normalizer.normalize_str(text) if normalizer else text
        return [word for word, _ in cutter.pre_tokenize_str(normal)]

    return split


def count_words(sentences: Iterable[str], split: Split) -> dict[str, int]:
    """Count words; text between spaces is split once however often it occurs."""
    chunks: Counter[str] = Counter()
    for sentence in sentences:
        chunks.update(_chunks(sentence))
    counts: dict[str, int] = {}
    for chunk, count in chunks.items():
        for word in split(chunk):
            counts[word] = counts.get(word, 0) + count
    return counts


def _chunks(sentence: str) -> list[str]:
    tidy = sentence.isprintable() and "  " not in sentence and sentence == sentence.strip(" ")
    return sentence.split(" ") if tidy else BORDER.split(sentence)  # the same where tidy, in half the time


def merge_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up the counts of several shards; Python's integers do not overflow (tokenizers issue 437)."""
    total: dict[str, int] = {}
    for shard in counts:
        for word, count in shard.items():
            total[word] = total.get(word, 0) + count
    return total


def train(algorithm: str, counts: Mapping[str, int], *, vocab_size: int, lowercase: bool) -> "Tokenizer":
    """Learn exactly `vocab_size` pieces from word counts and build the tokenizer.

    Raises: DataError if the corpus is too small for them, or its characters alone are more.
    """
    return build(algorithm, learn_pieces(algorithm, counts, vocab_size=vocab_size), lowercase=lowercase)


def learn_pieces(algorithm: str, counts: Mapping[str, int], *, vocab_size: int) -> Pieces:
    """Learn exactly `vocab_size` pieces: specials, then the alphabet, then what merges make.

    Raises: DataError if the corpus is too small for them, or its characters alone are more.
    """
    way = ALGORITHMS[algorithm]
    longest = way.word_characters or max(map(len, counts), default=0)
    words = {word: count for word, count in counts.items() if len(word) <= longest}
    start = [*SPECIALS, *way.alphabet(words)]
    _require_room(vocab_size, len(start))
    known = set(start)
    words = {word: count for word, count in words.items() if known.issuperset(way.symbols_of(word))}
    found = learn(
        words,
        start,
        size=vocab_size,
        symbols_of=way.symbols_of,
        joined=way.joined,
        minimum_count=MINIMUM_PAIR_COUNT,
    )
    _require_enough(vocab_size, len(found.pieces))
    return found


def build(algorithm: str, pieces: Pieces, *, lowercase: bool) -> "Tokenizer":
    """Build the tokenizer for a vocabulary: [CLS] A [SEP], or [CLS] A [SEP] B [SEP] with segment 1 from B on."""
    from tokenizers import AddedToken
    from tokenizers.processors import TemplateProcessing

    tokenizer = ALGORITHMS[algorithm].components(lowercase)
    tokenizer.model = ALGORITHMS[algorithm].model(pieces)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    tokenizer.post_processor = TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 $B:1 {SEP}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)],
    )
    return tokenizer


def wordpiece(pieces: Iterable[str], *, lowercase: bool) -> "Tokenizer":
    """Build a WordPiece tokenizer from the lines of a vocab.txt made elsewhere; its specials may have any ids."""
    return build("wordpiece", Pieces(tuple(pieces), ()), lowercase=lowercase)


def save(tokenizer: "Tokenizer", out: Path) -> None:
    """Write a folder that `transformers.AutoTokenizer` loads unchanged; equal tokenizers give equal bytes."""
    tokenizer.save(str(out / "tokenizer.json"), pretty=True)
    tokenizer.model.save(str(out))  # vocab.txt, or vocab.json and merges.txt
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIALS, strict=True))
    algorithm = next(way for way in ALGORITHMS.values() if way.model_name == type(tokenizer.model).__name__)
    settings = algorithm.settings(tokenizer) | names | {"model_input_names": MODEL_INPUTS}
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _require_room(vocab_size: int, start: int) -> None:
    if vocab_size < start:
        raise DataError(
            f"recipe.tokenizer.vocab_size={vocab_size} is too small: the special tokens and the characters of the corpus "
            f"alone are {start} pieces; raise it to more than that"
        )


def _require_enough(vocab_size: int, found: int) -> None:
    if found < vocab_size:
        raise DataError(
            f"recipe.tokenizer.vocab_size={vocab_size} is more than the corpus yields: {found} pieces; "
            f"lower recipe.tokenizer.vocab_size to at most {found} or add text"
        )


def _wordpiece_components(lowercase: bool) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece({UNK: 0}, unk_token=UNK))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUING)
    return tokenizer


def _wordpiece_model(pieces: Pieces) -> Any:
    from tokenizers.models import WordPiece

    vocab = {piece: at for at, piece in enumerate(pieces.pieces)}
    return WordPiece(
        vocab, unk_token=UNK, continuing_subword_prefix=CONTINUING, max_input_chars_per_word=WORD_CHARACTERS
    )


def _wordpiece_symbols(word: str) -> list[str]:
    return [word[0], *(CONTINUING + character for character in word[1:])]


def _wordpiece_alphabet(words: Mapping[str, int]) -> list[str]:
    """Keep the commonest characters, ties by code point: as they begin a word, then as they continue one."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    kept = sorted(sorted(counts), key=lambda character: -counts[character])[:ALPHABET]
    inside = {character for word in words for character in word[1:]}
    return sorted(kept) + [CONTINUING + character for character in sorted(inside.intersection(kept))]


def _wordpiece_joined(left: str, right: str) -> str:
    return left + right.removeprefix(CONTINUING)


def _wordpiece_settings(tokenizer: "Tokenizer") -> dict[str, Any]:
    lowercase = tokenizer.normalizer.lowercase
    return {"tokenizer_class": "BertTokenizer", "do_lower_case": lowercase, "tokenize_chinese_chars": True}


def _bpe_components(lowercase: bool) -> "Tokenizer":
    """Every word begins with Ġ, also at the start of a text: sentences encoded one by one join to the whole's ids."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    if lowercase:  # and without accents, as in the other algorithm
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]
        )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _bpe_model(pieces: Pieces) -> Any:
    from tokenizers.models import BPE

    return BPE({piece: at for at, piece in enumerate(pieces.pieces)}, list(pieces.merges))


def _bpe_alphabet(_: Mapping[str, int]) -> list[str]:
    """All 256 bytes, in the library's printable spelling."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


ALGORITHMS: dict[str, Algorithm] = {
    "wordpiece": Algorithm(
        summary="words cut into the longest known pieces, as in BERT",
        components=_wordpiece_components,
        model=_wordpiece_model,
        alphabet=_wordpiece_alphabet,
        symbols_of=_wordpiece_symbols,
        joined=_wordpiece_joined,
        word_characters=WORD_CHARACTERS,
        model_name="WordPiece",
        settings=_wordpiece_settings,
    ),
    "bpe": Algorithm(
        summary="byte-level byte-pair encoding, as in RoBERTa: no unknown text",
        components=_bpe_components,
        model=_bpe_model,
        alphabet=_bpe_alphabet,
        symbols_of=tuple,
        joined=str.__add__,
        word_characters=None,
        model_name="BPE",
        settings=lambda _: {"tokenizer_class": "PreTrainedTokenizerFast"},
    ),
}
"""The choices of `recipe.tokenizer.algorithm`."""
