"""Near-duplicates: signatures against exact Jaccard, and links between documents that share a key."""

import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.text.near.clusters import Cluster
from pipeline.text.near.loops import EMPTY, NOTHING, Ints, Signatures
from pipeline.text.near.pairs import band_keys, repeats, similar_pairs
from pipeline.text.near.signatures import signatures, similarities
from tests.text.near_texts import (
    BANDS,
    NUMBERS,
    TALE,
    THRESHOLD,
    WORDS,
    chain,
    edited,
    found,
    jaccard,
    random_text,
    signed,
)

ROOT = Path(__file__).resolve().parents[2]


def test_a_signature_is_the_same_in_every_release_and_process() -> None:
    expected = signed([TALE])
    assert expected[0, :4].tolist() == [2532892918, 625000840, 3631170034, 2448044927]
    code = (
        "import pyarrow as pa; from pipeline.text.near.signatures import signatures; import sys;"
        "print(signatures(pa.array([sys.argv[1:]]), shingle_words=5, permutations=128).tolist())"
    )
    other = subprocess.run([sys.executable, "-c", code, *TALE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(expected.tolist())


@pytest.mark.parametrize(
    "edition",
    [
        [
            "IT WAS THE BEST OF TIMES it was the worst of times",
            "It was the age of wisdom -- it was the age of foolishness",
        ],
        [" ".join(TALE)],
        " ".join(TALE).split(),
        [
            "“It was the _best_ of times,\u2009it was the wo\u00adrst of\u00a0times.",
            "",
            "…It was\u2014the age of wis\u2060dom. It wás the age of foolishness",
        ],
        [unicodedata.normalize("NFD", "Ît wäs the bést of times it was the worst of times"), *TALE[1:]],
    ],
    ids=["case and dashes", "one sentence", "a word a sentence", "quotes and invisible characters", "accents"],
)
def test_editions_that_differ_in_layout_have_equal_signatures(edition: list[str]) -> None:
    assert (signed([edition]) == signed([TALE])).all()


def test_words_and_their_order_change_the_signature() -> None:
    others = [[TALE[1], TALE[0]], [*TALE, "Light."], [TALE[0]], [TALE[0].replace("best", "bestof")]]
    assert all(similarities(signed([TALE]), signed([other]))[0] < 1 for other in others)


@pytest.mark.parametrize(
    "word", ["straße", "Ελλάδα", "привет", "ǅungla", "हिन्दी", "한국어", "日本", "𝔘𝔫𝔦", "x²", "1066"]
)
def test_letters_of_every_script_count(word: str) -> None:
    plain = signed(
        [
            ["one two three four five six seven"],
            [f"one two three four {word} six seven"],
            ["one two three four six seven"],
        ],
        words=2,
    )
    assert similarities(plain[:1], plain[1:2])[0] < 0.95
    assert similarities(plain[1:2], plain[2:])[0] < 0.95
    assert (signed([[word]]) == signed([[word.upper().lower()]])).all() or word == "straße"


def test_ideographs_are_words_of_their_own() -> None:
    first, second = "我们在这里看见了很多很好的人和书", "我们在这里看见了很多很好的人和书都来自北京"
    estimate = similarities(signed([[first]], 2, 1024), signed([[second]], 2, 1024))[0]
    assert abs(estimate - jaccard(" ".join(first), " ".join(second), 2)) < 0.07


@pytest.mark.parametrize("length", [30, 100, 400, 3000, 8000])
@pytest.mark.parametrize("rate", [0.0, 0.003, 0.01, 0.03, 0.1, 0.3])
def test_the_estimate_is_near_the_exact_share(length: int, rate: float) -> None:
    rng = np.random.default_rng([length, int(rate * 1000)])
    first = [random_text(rng, length) for _ in range(20)]
    second = [edited(rng, text, rate) for text in first]
    exact = np.array([jaccard(*texts) for texts in zip(first, second, strict=True)])
    errors = similarities(signed([[text] for text in first]), signed([[text] for text in second])) - exact
    deviation = np.sqrt(exact * (1 - exact) / NUMBERS) + 1e-9
    assert np.abs(errors / deviation).max() < 4
    assert abs((errors / deviation).mean()) < 4 / np.sqrt(20)


def test_short_documents_are_one_shingle_and_wordless_ones_are_like_none() -> None:
    made = signed([["Three short words"], ["three SHORT", "words"], ["three short word"], ["... — !?"], [""], []])
    assert (made[0] == made[1]).all()
    assert (made[0] != made[2]).all()
    assert (made[3:] == NOTHING).all()
    assert similarities(made[3:], made[3:]).tolist() == [0, 0, 0]
    assert (band_keys(made, BANDS)[3:] == EMPTY).all()
    assert found(["", "...", "", "a b c", "A B, C."]) == [Cluster("000003", ("000004",), 1.0)]


def test_a_text_that_repeats_itself_has_few_shingles_however_long_it_is() -> None:
    made = signed([["spam "] * 10, ["spam " * 300_000], ["spam " * 300_000 + "eggs"]])
    assert (made[0] == made[1]).all()
    assert 0.3 < similarities(made[1:2], made[2:])[0] < 0.7  # one shingle of two


@given(st.lists(st.lists(st.text(max_size=40), max_size=5), max_size=6), st.integers(1, 7), st.integers(8, 40))
@settings(max_examples=60, deadline=None)
def test_any_text_is_signed_alone_as_in_company(documents: list[list[str]], words: int, numbers: int) -> None:
    texts = [[sentence.encode(errors="replace").decode() for sentence in sentences] for sentences in documents]
    together = signed(texts, words, numbers)
    assert together.shape == (len(texts), numbers)
    for at, sentences in enumerate(texts):
        assert (signed([sentences], words, numbers)[0] == together[at]).all()


def test_slices_chunks_and_large_types_are_the_same_documents() -> None:
    documents = [["zero"], TALE, [], ["a b c d e f g h"], TALE[:1]]
    expected = signed(documents)
    plain = pa.array(documents)
    large = pa.array(documents, pa.large_list(pa.large_string()))
    for texts in (
        plain.slice(1, 3),
        large.slice(1, 3),
        pa.chunked_array([plain.slice(1, 1), large.slice(2, 2).cast(plain.type)]),
    ):
        assert (signatures(texts, shingle_words=WORDS, permutations=NUMBERS) == expected[1:4]).all()
    assert signatures(plain.slice(0, 0), shingle_words=WORDS, permutations=NUMBERS).shape == (0, NUMBERS)


def test_bytes_that_are_not_utf8_cannot_lead_out_of_the_text() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        raw = bytes(rng.choice(np.array([0x80, 0xBF, 0xC2, 0xE4, 0xF0, 0xFF, 0x41, 0x20], np.uint8), 12))
        strings = pa.array([raw[:5], raw[5:]], pa.binary()).view(pa.string())
        texts = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), strings)
        assert signatures(texts, shingle_words=2, permutations=8).shape == (2, 8)


def test_texts_that_are_not_lists_of_strings_are_refused() -> None:
    with pytest.raises(DataError, match="texts are list<item: int64>, expected lists of strings"):
        signatures(pa.array([[1]]), shingle_words=WORDS, permutations=NUMBERS)


# pairs


def test_bands_must_divide_the_signature() -> None:
    with pytest.raises(ConfigError, match="bands=5 do not divide a signature of 128 numbers"):
        band_keys(signed([TALE]), 5)


def test_documents_share_keys_as_often_as_the_curve_of_the_bands_says() -> None:
    rng = np.random.default_rng(3)
    share = 0.75
    same = rng.random((4000, NUMBERS)) < share
    first = rng.integers(0, 1 << 32, same.shape, np.uint32)
    second = np.where(same, first, rng.integers(0, 1 << 32, same.shape, np.uint32))
    met = (band_keys(first, BANDS) == band_keys(second, BANDS)).any(axis=1).mean()
    assert met == pytest.approx(1 - (1 - share ** (NUMBERS / BANDS)) ** BANDS, abs=0.03)


def test_repeats_are_linked_to_the_first_of_their_name_and_wordless_ones_to_none() -> None:
    names = np.array([7, EMPTY, 9, 7, 3, 9, EMPTY, 7], np.uint64)
    assert sorted(map(tuple, repeats(names).tolist())) == [(0, 3), (0, 7), (2, 5)]


def test_links_of_a_group_connect_whatever_is_similar_by_way_of_others() -> None:
    rows = chain(6, 16)  # neighbours agree in 112 of 128 numbers, the next but one in 96
    mixed = rows[[3, 0, 5, 2, 4, 1]]
    keys, names = np.full(6, 1, np.uint64), band_keys(mixed, 1)[:, 0]
    links = similar_pairs(keys, keys, names, mixed.__getitem__, threshold=THRESHOLD)
    assert len(links) == 5
    assert all(similarities(mixed[one : one + 1], mixed[two : two + 1])[0] >= THRESHOLD for one, two in links)


def test_signatures_are_fetched_only_for_documents_that_share_a_key() -> None:
    rows = signed([[random_text(np.random.default_rng(at % 3 if at > 7 else at), 50)] for at in range(10)])
    rows[8:, 0] = 1  # like documents 2 and 0, but not equal to them
    asked: list[int] = []

    def signature_of(numbers: Ints) -> Signatures:
        asked.extend(numbers.tolist())
        return rows[numbers]

    keys, names = band_keys(rows, BANDS), band_keys(rows, 1)[:, 0]
    links = similar_pairs(keys[:, 5], keys[:, 6], names, signature_of, threshold=THRESHOLD)
    assert sorted(map(sorted, links.tolist())) == [[0, 9], [2, 8]]
    assert sorted(asked) == [0, 2, 8, 9]
