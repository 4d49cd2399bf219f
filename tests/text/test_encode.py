import gzip
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from pipeline.core.errors import DataError
from pipeline.text.encode import HOSTILE, Gate, continues, encode_documents, load, special_ids
from pipeline.text.encoded import Encoded, Encoder, Ids, Lengths, Sentences
from pipeline.text.encoders import DistinctChunks, Library, Nanotoken, distinct_chunks, is_sum_of_chunks
from pipeline.text.vocab import ALGORITHMS, count_words, save, splitter, train, wordpiece

TEXT = ["the hare and the tortoise ran", "the tortoise outran the hare", "hares run, tortoises walk"] * 3
SIZES = {"wordpiece": 45, "bpe": 280, "unigram": 30}
ALL = pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))


def trained(algorithm: str) -> Tokenizer:
    counts = count_words(TEXT, splitter(algorithm, lowercase=True))
    return train(algorithm, counts, vocab_size=SIZES[algorithm], lowercase=True)


TRAINED = {algorithm: trained(algorithm) for algorithm in ALGORITHMS}
WORDPIECE = TRAINED["wordpiece"]
FAST = [
    pytest.param(Nanotoken, "wordpiece", id="nanotoken"),
    *(pytest.param(DistinctChunks, algorithm, id=f"distinct-{algorithm}") for algorithm in ALGORITHMS),
]
EACH_FAST = pytest.mark.parametrize(("make", "algorithm"), FAST)
Make = Callable[[Tokenizer], Encoder]


def documents(texts: list[list[str]]) -> pa.ListArray:
    return pa.array(texts, pa.list_(pa.string()))


def encoded_by_library(tokenizer: Tokenizer, texts: list[list[str]]) -> Encoded:
    return encode_documents(Library(tokenizer), documents(texts))


def the_same(one: tuple[Ids, Lengths], other: tuple[Ids, Lengths]) -> bool:
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@settings(deadline=None)
@given(st.lists(st.lists(st.text("abehn tr,", max_size=20), max_size=4), max_size=5))
def test_slices_of_the_flat_array_are_the_sentences(texts: list[list[str]]) -> None:
    encoded = encoded_by_library(WORDPIECE, texts)
    assert len(encoded.document_at) == len(texts) + 1
    for row, sentences in enumerate(texts):
        expected = [ids for text in sentences if (ids := WORDPIECE.encode(text, add_special_tokens=False).ids)]
        begin, end = encoded.document_at[row : row + 2]
        slices = [
            encoded.ids_N[encoded.sentence_at[s] : encoded.sentence_at[s + 1]].tolist() for s in range(begin, end)
        ]
        assert slices == expected
        assert encoded.ids_N[encoded.token_at[row] : encoded.token_at[row + 1]].tolist() == [
            at for ids in expected for at in ids
        ]


def test_sentences_of_no_tokens_are_left_out_and_documents_are_not() -> None:
    encoded = encoded_by_library(WORDPIECE, [["", "the hare", " "], [], ["the"]])
    assert encoded.document_at.tolist() == [0, 1, 1, 2]
    assert encoded.sentence_at.tolist() == [0, 2, 3]


def test_chunks_of_a_column_and_slices_of_it_encode_as_the_whole() -> None:
    texts = [["the hare", "ran"], [], ["the tortoise"], ["and", "the", "hare"]]
    whole = encoded_by_library(WORDPIECE, texts)
    column = pa.chunked_array([documents([["left out"], *texts[:2]])[1:], documents([]), documents(texts[2:])])
    found = encode_documents(Nanotoken(WORDPIECE), column)
    assert [array.tolist() for array in (found.ids_N, found.sentence_at, found.document_at)] == [
        array.tolist() for array in (whole.ids_N, whole.sentence_at, whole.document_at)
    ]


@pytest.mark.parametrize(("make", "algorithm"), [*FAST, *(pytest.param(Library, name) for name in sorted(ALGORITHMS))])
def test_a_special_token_spelled_out_in_a_text_is_text(make: Make, algorithm: str) -> None:
    tokenizer = TRAINED[algorithm]
    ids, _ = make(tokenizer).encode(["a [MASK] and [SEP]", "[CLS][PAD]"])
    assert not set(ids.tolist()) & {0, 2, 3, 4}
    assert 4 in tokenizer.encode("a [MASK] and [SEP]").ids  # outside of the encoders it stays a special token


@pytest.mark.parametrize("make", [Library, DistinctChunks])
@ALL
def test_a_special_token_spelled_out_is_text_also_where_case_is_kept(make: Make, algorithm: str) -> None:
    text = [*TEXT, "the [MASK] [SEP] ran]"] * 3
    counts = count_words(text, splitter(algorithm, lowercase=False))
    size = {"wordpiece": 55, "bpe": 280, "unigram": 36}[algorithm]
    tokenizer = train(algorithm, counts, vocab_size=size, lowercase=False)
    ids, _ = make(tokenizer).encode(["a [MASK] and[SEP]", "[CLS][PAD]", "[[UNK]]"])
    assert not set(ids.tolist()) & {0, 2, 3, 4}


HOSTILE_TEXT = st.text(
    alphabet=st.one_of(
        st.sampled_from(" '\t\n\r\x0b\x0c\x1c\u0301\u00a0\u00ad\u200b\u2028\u2060\ufffd▁Ġaé字한İΣ👩.[]#"),
        st.sampled_from("abehnorst "),
        st.characters(codec="utf-8"),
    ),
    max_size=40,
)


@EACH_FAST
@settings(deadline=None, max_examples=150)
@given(texts=st.lists(HOSTILE_TEXT, max_size=4))
@example(texts=list(HOSTILE))
@example(
    texts=["a \u0301 b", "\u0301 a", "a ▁b ▁", "▁ a", "a\x0bb \x0b c", "[MASK]the ##e", "", " ", "x" * 101 + " the"]
)
def test_any_text_is_encoded_as_the_library_does(make: Make, algorithm: str, texts: list[str]) -> None:
    fast, library = make(TRAINED[algorithm]), Library(TRAINED[algorithm])
    for _ in range(2):  # the second time from what was remembered
        assert the_same(fast.encode(texts), library.encode(texts))


@EACH_FAST
def test_all_characters_are_encoded_as_the_library_does(make: Make, algorithm: str) -> None:
    """The whole first plane, and some beyond it: each stands in a word, before a space and after one."""
    characters = [chr(at) for at in range(0x10800) if not 0xD800 <= at < 0xE000]
    texts = [" ".join(f"a{one}b {one}" for one in characters[at : at + 16]) for at in range(0, len(characters), 16)]
    assert the_same(make(TRAINED[algorithm]).encode(texts), Library(TRAINED[algorithm]).encode(texts))


def test_real_text_is_encoded_as_the_library_does(shared_data: Path) -> None:
    """Hundreds of pieces of each kind of text; the whole of it is compared by benchmarks/tokenizer.py."""
    texts = [text for kind in real_texts(shared_data) for text in kind]
    assert len(texts) > 2000
    lines = (shared_data / "oracle/bert-base-uncased-vocab/vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    bert = wordpiece(lines, lowercase=True)
    cases = [(Nanotoken, bert), (DistinctChunks, bert)]
    for algorithm in ("bpe", "unigram"):
        counts = count_words(texts, splitter(algorithm, lowercase=False))
        cases.append((DistinctChunks, train(algorithm, counts, vocab_size=2000, lowercase=False)))
    for make, tokenizer in cases:
        assert the_same(make(tokenizer).encode(texts), Library(tokenizer).encode(texts))


def real_texts(shared_data: Path) -> Iterator[list[str]]:
    """Yield lines of books, an encyclopedia in two forms, reviews, questions, messages."""
    for archive in sorted(shared_data.glob("books/*/*.tar.zst")):
        command = ["zstd", "-d", "--long=27", "-c", str(archive)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as unpacking:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as books:
                first = books.extractfile(next(member for member in books if member.isfile()))
                assert first is not None
                yield first.read().decode("utf-8", "replace").splitlines()[:600]
            unpacking.kill()
    for pattern in ("wikipedia/wikiextractor-output-sample/*", "glue/*/dev.tsv*", "ner/btc/*", "wikitext/*/*"):
        for path in sorted(shared_data.glob(pattern)):
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            yield data.decode("utf-8", "replace").splitlines()[:400]
    with gzip.open(shared_data / "oracle/bert-uncased-tokens-A/agree.jsonl.gz", "rt", encoding="utf-8") as file:
        yield [json.loads(line)["text"] for line in file][:1000]


@EACH_FAST
def test_what_was_forgotten_is_encoded_anew(make: Make, algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.text.encoders.MOST_CHUNKS", 3)
    fast, library = make(TRAINED[algorithm]), Library(TRAINED[algorithm])
    for texts in (TEXT, TEXT[::-1], ["hares ran"], TEXT):
        assert the_same(fast.encode(texts), library.encode(texts))


class Wrong:
    """An encoder that loses the last id of a text that has a long word."""

    name = "wrong"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._library = Library(tokenizer)

    def encode(self, sentences: Sentences) -> tuple[Ids, Lengths]:
        ids, lengths = self._library.encode(sentences)
        for at, text in enumerate(sentences):
            if "tortoises" in str(text):
                ids[lengths[: at + 1].sum() - 1] = 7
        return ids, lengths


class Failing(Library):
    """An encoder whose library is at odds with the installed one."""

    name = "failing"

    def encode(self, sentences: Sentences) -> tuple[Ids, Lengths]:
        raise ValueError("unsupported version")


def missing(_: Tokenizer) -> Encoder:
    raise ModuleNotFoundError("No module named 'fast'")


def test_the_gate_passes_over_an_encoder_that_differs_on_the_sample() -> None:
    chosen = Gate(WORDPIECE, {"wrong": Wrong, "distinct chunks": distinct_chunks}).choose(TEXT)
    assert chosen.encoder.name == "distinct chunks"
    assert chosen.warning == (
        "recipe.tokenizer: wrong (other ids than the library for 'hares run, tortoises walk'); "
        "encoded by distinct chunks, slower"
    )
    assert Gate(WORDPIECE, {"wrong": Wrong}).choose(["the hare"]).encoder.name == "wrong"


def test_the_gate_passes_over_encoders_that_fail_or_are_missing_until_the_library_is_left() -> None:
    chosen = Gate(WORDPIECE, {"missing": missing, "failing": Failing, "wrong": Wrong}).choose(TEXT)
    assert chosen.encoder.name == "tokenizers"
    for reason in ("missing (ModuleNotFoundError: No module", "failing (ValueError: unsupported", "wrong (other ids"):
        assert reason in str(chosen.warning)


@pytest.mark.parametrize(
    ("algorithm", "name"), [("wordpiece", "nanotoken"), ("bpe", "distinct chunks"), ("unigram", "distinct chunks")]
)
def test_the_fastest_encoder_is_chosen_without_a_warning(algorithm: str, name: str, tmp_path: Path) -> None:
    save(TRAINED[algorithm], tmp_path)
    chosen = Gate(load(tmp_path)).choose(TEXT)
    assert (chosen.encoder.name, chosen.warning) == (name, None)


def test_a_tokenizer_whose_words_may_cross_a_space_is_left_to_the_library() -> None:
    assert all(is_sum_of_chunks(tokenizer) for tokenizer in TRAINED.values())
    for change in (
        lambda tokenizer: tokenizer.add_tokens([AddedToken("hare ran")]),
        lambda tokenizer: setattr(tokenizer, "pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=False)),
        lambda tokenizer: setattr(tokenizer, "pre_tokenizer", None),
        lambda tokenizer: setattr(tokenizer, "normalizer", normalizers.Replace("e h", "x")),
        lambda tokenizer: setattr(tokenizer, "normalizer", normalizers.Prepend("x")),
    ):
        tokenizer = Tokenizer.from_str(WORDPIECE.to_str())
        change(tokenizer)
        assert distinct_chunks(tokenizer) is None


@pytest.mark.parametrize(("vocab_size", "width"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)])
def test_ids_are_as_narrow_as_the_vocabulary_allows(vocab_size: int, width: type[np.generic]) -> None:
    pieces = {"[UNK]": 0, "last": vocab_size - 1} | {f"p{at}": at for at in range(1, vocab_size - 1)}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    for encoder in (Library(tokenizer), Nanotoken(tokenizer), DistinctChunks(tokenizer)):
        encoded = encode_documents(encoder, documents([["last"]]))
        assert encoded.ids_N.dtype == width
        assert encoded.ids_N.tolist() == [vocab_size - 1]


@ALL
def test_continuing_pieces_are_the_same_from_a_saved_folder(algorithm: str, tmp_path: Path) -> None:
    tokenizer = TRAINED[algorithm]
    save(tokenizer, tmp_path)
    loaded = load(tmp_path)
    assert np.array_equal(continues(loaded), continues(tokenizer))
    assert loaded.to_str() == tokenizer.to_str()


@ALL
def test_a_word_has_one_piece_that_does_not_continue(algorithm: str) -> None:
    tokenizer = TRAINED[algorithm]
    encoding = tokenizer.encode("Tortoises outran hares")
    begins = [token for token in encoding.ids if not continues(tokenizer)[token]]
    assert len(encoding.ids) > 5
    assert len(begins) == 3 + len(["[CLS]", "[SEP]"])


@ALL
def test_sentences_encoded_one_by_one_join_to_the_text_encoded_whole(algorithm: str) -> None:
    tokenizer = TRAINED[algorithm]
    encoded = encoded_by_library(tokenizer, [TEXT])
    assert encoded.ids_N.tolist() == tokenizer.encode(" ".join(TEXT), add_special_tokens=False).ids


def test_a_folder_without_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tokenizer\.json: no tokenizer there; expected the folder"):
        load(tmp_path)


def test_a_vocabulary_without_mask_token_is_refused() -> None:
    pieces = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4}
    with pytest.raises(DataError, match=r"tokenizer: \[MASK\] not in the vocabulary"):
        special_ids(Tokenizer(models.WordPiece(pieces, unk_token="[UNK]")))
