"""Near-duplicates: signatures against exact Jaccard, clusters against brute force, real books, hostile text."""

import subprocess
import sys
import tarfile
import unicodedata
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.text.near import pairs
from pipeline.text.near.clusters import Cluster, Standing, clusters, near_duplicates, removals
from pipeline.text.near.loops import EMPTY, NOTHING, Ints, Signatures
from pipeline.text.near.pairs import band_keys, repeats, similar_pairs
from pipeline.text.near.signatures import signatures, similarities

WORDS, NUMBERS, BANDS, THRESHOLD = 5, 128, 16, 0.8  # the recipe's defaults
ROOT = Path(__file__).resolve().parents[2]
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


# signatures


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


def chain(lengths: int, step: int) -> Signatures:
    """Signatures in a row, each differing from the one before in `step` more numbers."""
    rows = np.zeros((lengths, NUMBERS), np.uint32)
    for at in range(lengths):
        rows[at:, (at * step) % NUMBERS : (at * step) % NUMBERS + step] = at + 1
    return rows


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


# clusters


def test_of_a_cluster_the_earliest_source_stays_then_the_longest_then_the_lowest_id() -> None:
    rows = np.repeat(signed([TALE]), 5, axis=0)
    rows[0, 0] = 5

    def kept(ids: str, sources: list[int], lengths: list[int]) -> str:
        standing = Standing(pa.array(list(ids)), np.array(sources), np.array(lengths))
        (cluster,) = clusters(near_duplicates(rows, standing, bands=BANDS, threshold=THRESHOLD))
        assert cluster.removed == tuple(sorted(set(ids) - {cluster.kept}))
        assert cluster.similarity == pytest.approx(127 / 128)
        return cluster.kept

    assert kept("edcba", [1, 0, 0, 1, 1], [9, 1, 2, 9, 9]) == "c"
    assert kept("edcba", [0, 0, 0, 0, 0], [3, 1, 2, 3, 3]) == "a"
    assert kept("edcba", [0, 1, 1, 1, 1], [1, 1, 2, 9, 9]) == "e"


def test_every_removed_document_is_similar_to_the_one_that_is_kept_and_not_only_by_a_chain() -> None:
    rows = chain(8, 8)  # neighbours agree in 120 numbers; 25 may differ
    standing = Standing(pa.array([str(at) for at in range(8)]), np.zeros(8), np.zeros(8))
    assert [
        (cluster.kept, cluster.removed)
        for cluster in clusters(near_duplicates(rows, standing, bands=BANDS, threshold=THRESHOLD))
    ] == [
        ("0", ("1", "2", "3")),
        ("4", ("5", "6", "7")),
    ]


@pytest.mark.parametrize("rate", [0.002, 0.005, 0.01, 0.05, 0.2])
def test_planted_near_duplicates_are_found_where_the_exact_share_says_so(rate: float) -> None:
    rng = np.random.default_rng(int(rate * 1000))
    texts = [random_text(rng, 1500) for _ in range(30)]
    copies = [edited(rng, text, rate) for text in texts]
    exact = [jaccard(text, copy) for text, copy in zip(texts, copies, strict=True)]
    met = {cluster.kept: cluster.removed for cluster in found([*texts, *copies])}
    for at, share in enumerate(exact):
        if share > 0.9:
            assert met[f"{at:06}"] == (f"{at + 30:06}",)
        if share < 0.68:
            assert f"{at:06}" not in met
    assert all(removed == (f"{int(kept) + 30:06}",) for kept, removed in met.items())


FAMILIES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 2), st.integers(1, 3)), min_size=2, max_size=30
)


@given(FAMILIES, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_result_depends_neither_on_order_nor_on_pieces(
    family: list[tuple[int, int, int, int]], random: Any
) -> None:
    """Drafts of four texts, which chain; signed in pieces, bands in any order."""
    texts = [" ".join(f"t{text}v{max(draft * 4 - at, 0)}n{at}" for at in range(60)) for text, draft, _, _ in family]
    about = [
        (f"{at:03}", text, source, length)
        for at, (text, (_, _, source, length)) in enumerate(zip(texts, family, strict=True))
    ]

    def remove(documents: list[tuple[str, str, int, int]], pieces: int) -> list[dict[str, Any]]:
        cut = [documents[at::pieces] for at in range(pieces)]
        rows = np.concatenate([signed([[text] for _, text, _, _ in piece]) for piece in cut])
        ids, _, sources, lengths = zip(*(document for piece in cut for document in piece), strict=True)
        keys, names = band_keys(rows, BANDS), band_keys(rows, 1)[:, 0]
        order = list(range(BANDS))
        random.shuffle(order)
        links = [
            similar_pairs(keys[:, band], keys[:, band - 1], names, rows.__getitem__, threshold=THRESHOLD)
            for band in order
        ]
        standing = Standing(pa.array(ids), np.array(sources), np.array(lengths))
        rows_out: list[dict[str, Any]] = removals(
            links, names, standing, rows.__getitem__, threshold=THRESHOLD
        ).to_pylist()
        return rows_out

    expected = remove(about, 1)
    shuffled = random.sample(about, len(about))
    assert remove(shuffled, random.randint(1, len(about))) == expected
    gone = {row["removed"] for row in expected}
    kept = [text for name, text, _, _ in about if name not in gone]
    assert all(row["similarity"] >= THRESHOLD - 1e-6 and row["kept"] not in gone for row in expected)
    assert len(set(kept)) == len(kept)


def test_blocks_of_a_group_too_large_to_compare_do_not_depend_on_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "BLOCK", 8)
    monkeypatch.setattr(pairs, "FETCH", 16)
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 2, (200, NUMBERS)).astype(np.uint32)  # unlike each other
    rows[100:] = rows[:100]
    rows[100:, 70:75] = 7  # but for these 100 pairs
    rows[:, :8] = 1  # one group in the first band
    keys, names = band_keys(rows, BANDS), band_keys(rows, 1)[:, 0]
    order = rng.permutation(200)

    def linked(at: Ints) -> set[frozenset[int]]:
        found = similar_pairs(
            keys[at, 0], keys[at, 1], names[at], lambda numbers: rows[at[numbers]], threshold=THRESHOLD
        )
        return {frozenset(at[pair].tolist()) for pair in found}

    assert linked(order) == linked(np.arange(200))
    assert linked(order) <= {frozenset((at, at + 100)) for at in range(100)}
    assert len(linked(order)) > 60  # those that agree in the next band stand side by side; a cut parts few


def test_a_hundred_thousand_equal_pages_are_one_cluster_and_cost_no_comparisons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = np.repeat(signed([["This page is under construction, please come back later."], TALE]), 100_000, axis=0)
    standing = Standing(pa.array([f"{at:06}" for at in range(len(rows))]), np.zeros(len(rows)), np.zeros(len(rows)))
    fetched: list[int] = []

    class Counted(np.ndarray[Any, Any]):
        def __getitem__(self, numbers: Any) -> Any:
            fetched.append(np.size(numbers))
            return np.asarray(rows)[numbers]

    names = band_keys(rows, 1)[:, 0]
    keys = band_keys(rows, BANDS)
    signature_of = rows.view(Counted).__getitem__
    links = [
        similar_pairs(keys[:, band], keys[:, band - 1], names, signature_of, threshold=THRESHOLD)
        for band in range(BANDS)
    ]
    made = clusters(removals(links, names, standing, signature_of, threshold=THRESHOLD))
    assert [(cluster.kept, len(cluster.removed), cluster.similarity) for cluster in made] == [
        ("000000", 99_999, 1),
        ("100000", 99_999, 1),
    ]
    assert sum(fetched) == 2


# real text


@pytest.fixture(scope="module")
def books(shared_data: Path) -> dict[str, list[str]]:
    """The lines of 80 books as their files have them, licences, tables of contents and all."""
    return {name: _decoded(data).splitlines() for name, data in _members(shared_data / "books")}


def _members(folder: Path) -> Iterator[tuple[str, bytes]]:
    for archive in sorted(folder.glob("*/*.tar.zst")):
        with (
            pa.input_stream(str(archive), compression="zstd") as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            for member in tar:
                inner = tar.extractfile(member) if member.name.endswith(".txt") else None
                if inner is not None:
                    yield Path(member.name).stem, inner.read()


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def test_the_two_books_of_both_archives_are_found_and_no_other_pair(books: dict[str, list[str]]) -> None:
    names = sorted(books)
    rows = signed([books[name] for name in names])
    standing = Standing(pa.array(names), np.zeros(len(names)), np.array([len(books[name]) for name in names]))
    made = clusters(near_duplicates(rows, standing, bands=BANDS, threshold=THRESHOLD))
    assert {frozenset((cluster.kept, *cluster.removed)) for cluster in made} == {
        frozenset({"Dickens_Expectations_1861", "Great-Expectations_1400__1400-0"}),
        frozenset({"Stevenson_Treasure_1883", "Treasure-Island_120__120-0"}),
    }
    others = [
        similarities(rows[one : one + 1], rows[two : two + 1])[0] for one, two in combinations(range(len(names)), 2)
    ]
    assert sorted(others)[-3] < 0.2
