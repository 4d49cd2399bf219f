import gzip
import io
import json
import random
import subprocess
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoTokenizer

from pipeline.core.errors import DataError
from pipeline.text.counting import add_up, words_of
from pipeline.text.vocab import (
    ALGORITHMS,
    SPECIALS,
    Pieces,
    count_words,
    learn_pieces,
    save,
    spelling,
    splitter,
    train,
    wordpiece,
)
from pipeline.text.vocab.merges import MINIMUM_PAIR_COUNT, merge

TEXT = [
    "The Tortoise and the Hare ran a race, and the slow-but-steady one won it.",
    "“Why,” said the Dodo, “the best way to explain it is to do it.”",
    "Naïve cafés serve crème brûlée; the crêpes aren't as rich.",
    "Down, down, down. Would the fall never come to an end?  I wonder how many miles I've fallen.",
    "Le cœur a ses raisons que la raison ne connaît point; 漢字 and кириллица too.",
] * 4
SIZES = {"wordpiece": 190, "bpe": 400, "unigram": 90}
ALL = pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))


def trained(algorithm: str, *, lowercase: bool = True, text: list[str] = TEXT) -> Tokenizer:
    counts = count_words(text, splitter(algorithm, lowercase=lowercase))
    return train(algorithm, counts, vocab_size=SIZES[algorithm], lowercase=lowercase)


def saved(tokenizer: Tokenizer, out: Path) -> dict[str, bytes]:
    out.mkdir()
    save(tokenizer, out)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


@ALL
def test_counts_in_any_order_give_the_same_bytes(algorithm: str, tmp_path: Path) -> None:
    counts = count_words(TEXT, splitter(algorithm, lowercase=True))
    shuffled = counts.take(random.Random(3).sample(range(len(counts)), len(counts)))
    one = train(algorithm, counts, vocab_size=SIZES[algorithm], lowercase=True)
    other = train(algorithm, add_up([shuffled]), vocab_size=SIZES[algorithm], lowercase=True)
    assert saved(one, tmp_path / "one") == saved(other, tmp_path / "other")


@ALL
def test_a_vocabulary_has_its_size_and_begins_with_the_specials(algorithm: str) -> None:
    tokenizer = trained(algorithm)
    assert tokenizer.get_vocab_size() == SIZES[algorithm] == len(tokenizer.get_vocab())
    assert [tokenizer.token_to_id(token) for token in SPECIALS] == [0, 1, 2, 3, 4]


@ALL
def test_a_small_corpus_says_how_many_pieces_it_yields(algorithm: str) -> None:
    counts = count_words(TEXT, splitter(algorithm, lowercase=True))
    with pytest.raises(DataError, match=r"recipe\.tokenizer\.vocab_size=30000 is more than the corpus yields") as error:
        learn_pieces(algorithm, counts, vocab_size=30_000)
    yields = int(str(error.value).split(" pieces")[0].split()[-1])
    assert len(learn_pieces(algorithm, counts, vocab_size=yields).pieces) == yields


def test_a_vocabulary_smaller_than_the_alphabet_is_refused() -> None:
    with pytest.raises(DataError, match=r"recipe\.tokenizer\.vocab_size=8 is too small.* are 9 pieces"):
        learn_pieces("wordpiece", words_of({"ab": 5, "ba": 5}), vocab_size=8)


def test_the_alphabet_keeps_the_commonest_characters_and_ties_go_to_the_lower_code_point() -> None:
    counts = {chr(0x4E00 + at): 1 for at in range(1100)} | {"common": 1_000_000}
    pieces = learn_pieces("wordpiece", words_of(counts), vocab_size=5 + 1000 + 4).pieces
    assert chr(0x4E00) in pieces
    assert chr(0x4E00 + 1099) not in pieces
    assert {"c", "##o", "##m", "##n"} <= set(pieces)


@pytest.mark.parametrize("algorithm", ["wordpiece", "unigram"])
def test_a_script_of_many_characters_is_kept_but_for_its_rarest(algorithm: str) -> None:
    counts = {chr(0x4E00 + at): 10 for at in range(3000)} | {chr(0x6E00 + at): 1 for at in range(10)}
    pieces = learn_pieces(algorithm, words_of(counts), vocab_size=5 + 3000).pieces
    assert {chr(0x4E00 + at) for at in range(2990)} < set(pieces)
    assert chr(0x6E09) not in pieces


def test_words_too_long_to_be_encoded_are_not_learned_from() -> None:
    pieces = learn_pieces("wordpiece", words_of({"z" * 101: 1000, "abab": 10}), vocab_size=10).pieces
    assert pieces == (*SPECIALS, "a", "b", "##a", "##b", "ab")


def learned(words: dict[str, int], alphabet: str, size: int) -> Pieces:
    numbers = {character: at for at, character in enumerate(alphabet)}
    symbols = spelling.symbols(spelling.spell(words_of(words), None), numbers, numbers)
    return merge(symbols, list(alphabet), [True] * len(alphabet), size=size, joined=str.__add__)


def test_ties_go_to_the_pair_of_lowest_numbers() -> None:
    assert learned({"cd": 3, "ab": 3, "xy": 3}, "abcdxy", 8).merges == (("a", "b"), ("c", "d"))


def test_counts_beyond_32_bits_decide_which_pair_comes_first() -> None:
    assert learned({"ab": (1 << 40) + 1, "cd": 1 << 40}, "abcd", 5).merges == (("a", "b"),)
    assert learned({"ab": 1 << 40, "cd": (1 << 40) + 1}, "abcd", 5).merges == (("c", "d"),)


def test_words_with_characters_outside_of_the_alphabet_teach_nothing() -> None:
    assert learned({"abx": 9, "cd": 2}, "abcd", 6).merges == (("c", "d"),)


@settings(deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=8), st.integers(1, 9), min_size=1, max_size=12))
def test_every_merge_is_of_the_most_frequent_pair(words: dict[str, int]) -> None:
    """Against the textbook: count all pairs anew for each merge."""
    cut = {word: list(word) for word in words}
    pieces = list("abc")
    merges: list[tuple[str, str]] = []
    while len(pieces) < 10:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in zip(cut[word], cut[word][1:], strict=False):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], *map(pieces.index, pair)), default=None)
        if best is None or pairs[best] < MINIMUM_PAIR_COUNT:
            break
        merges += [best] * (best not in merges)
        pieces += ["".join(best)] * ("".join(best) not in pieces)
        cut = {word: replaced(symbols, best) for word, symbols in cut.items()}
    assert learned(words, "abc", 10) == Pieces(tuple(pieces), tuple(merges))


def replaced(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    done: list[str] = []
    at = 0
    while at < len(symbols):
        whole = tuple(symbols[at : at + 2]) == pair
        done.append("".join(pair) if whole else symbols[at])
        at += 1 + whole
    return done


@ALL
@pytest.mark.parametrize("lowercase", [True, False])
def test_the_saved_folder_loads_unchanged_in_transformers(algorithm: str, lowercase: bool, tmp_path: Path) -> None:
    tokenizer = trained(algorithm, lowercase=lowercase)
    saved(tokenizer, tmp_path / "tokenizer")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    for text in [*TEXT, "Unseen ẅörds 字 🙂 and\ttabs", "fill in the [MASK]."]:
        assert loaded(text)["input_ids"] == tokenizer.encode(text).ids
    assert len(loaded) == SIZES[algorithm]
    assert sorted(loaded.all_special_ids) == [0, 1, 2, 3, 4]
    assert (loaded.pad_token_id, loaded.unk_token_id, loaded.cls_token_id) == (0, 1, 2)
    assert (loaded.sep_token_id, loaded.mask_token_id) == (3, 4)


@ALL
def test_transformers_lays_out_pairs_with_segment_ids(algorithm: str, tmp_path: Path) -> None:
    saved(trained(algorithm), tmp_path / "tokenizer")
    pair = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")("the", "hare ran")
    ids = pair["input_ids"]
    border = ids.index(3)
    assert (ids[0], ids[-1]) == (2, 3)
    assert pair["token_type_ids"] == [0] * (border + 1) + [1] * (len(ids) - border - 1)


def test_the_folder_has_the_files_that_each_algorithm_is_known_by(tmp_path: Path) -> None:
    pieces = saved(trained("wordpiece"), tmp_path / "wordpiece")
    assert list(pieces) == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    assert pieces["vocab.txt"].decode().splitlines()[:5] == list(SPECIALS)
    bpe = saved(trained("bpe"), tmp_path / "bpe")
    assert list(bpe) == ["merges.txt", "tokenizer.json", "tokenizer_config.json", "vocab.json"]
    unigram = saved(trained("unigram"), tmp_path / "unigram")
    assert list(unigram) == ["tokenizer.json", "tokenizer_config.json", "unigram.json"]


@ALL
def test_lowercase_folds_case_and_accents_and_its_absence_keeps_them(algorithm: str) -> None:
    folded, cased = trained(algorithm), trained(algorithm, lowercase=False)
    assert folded.encode("Crème").ids == folded.encode("creme").ids
    assert cased.encode("Crème").ids != cased.encode("creme").ids


def test_byte_level_pieces_spell_any_text() -> None:
    text = "\u2060Unseen ẅörds 字 🙂 and\ttabs"
    tokenizer = trained("bpe", lowercase=False)
    assert tokenizer.decode(tokenizer.encode(text).ids).strip() == text


def test_the_original_vocabulary_gives_the_ids_of_the_original_code(shared_data: Path) -> None:
    lines = (shared_data / "oracle/bert-base-uncased-vocab/vocab.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = wordpiece(lines, lowercase=True)
    with gzip.open(shared_data / "oracle/bert-uncased-tokens-A/agree.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    encodings = tokenizer.encode_batch_fast([row["text"] for row in rows], add_special_tokens=False)
    assert len(rows) == 2351
    assert [encoding.ids for encoding in encodings] == [row["ids"] for row in rows]


@pytest.mark.parametrize("algorithm", ["wordpiece", "bpe"])
def test_pieces_are_those_of_the_library_on_real_text(algorithm: str, shared_data: Path) -> None:
    """The library's WordPiece breaks ties differently in each run; byte-level BPE agrees to the last piece."""
    lines = novels(shared_data, characters=2_000_000)
    size = 8000
    ours = learn_pieces(algorithm, count_words(lines, splitter(algorithm, lowercase=True)), vocab_size=size).pieces
    theirs = library_pieces(algorithm, lines, size)
    assert len(theirs) == size
    assert len(theirs.intersection(ours)) >= 0.99 * size


def novels(shared_data: Path, *, characters: int) -> list[str]:
    archive = shared_data / "books/english-novels-A/english-novels-A.tar.zst"
    raw = subprocess.run(["zstd", "-d", "--long=27", "-c", str(archive)], capture_output=True, check=True).stdout
    text = ""
    with tarfile.open(fileobj=io.BytesIO(raw)) as books:
        for member in books:
            file = books.extractfile(member)
            text += file.read().decode("utf-8-sig") if file and len(text) < characters else ""
    return text[:characters].splitlines()


def library_pieces(algorithm: str, lines: list[str], size: int) -> set[str]:
    tokenizer = ALGORITHMS[algorithm].components(True)
    shared = {"vocab_size": size, "min_frequency": MINIMUM_PAIR_COUNT, "special_tokens": list(SPECIALS)}
    if algorithm == "wordpiece":
        tokenizer.model = models.WordPiece(unk_token="[UNK]")
        trainer = trainers.WordPieceTrainer(**shared, show_progress=False)
    else:
        trainer = trainers.BpeTrainer(**shared, show_progress=False, initial_alphabet=ByteLevel.alphabet())
    tokenizer.train_from_iterator(lines, trainer)
    return set(tokenizer.get_vocab())
