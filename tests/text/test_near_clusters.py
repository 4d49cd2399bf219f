"""Clusters of near-duplicates against brute force, and among real books."""

import tarfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.near import pairs
from pipeline.text.near.clusters import Standing, clusters, near_duplicates, removals
from pipeline.text.near.loops import Ints
from pipeline.text.near.pairs import band_keys, similar_pairs
from pipeline.text.near.signatures import similarities
from tests.text.near_texts import (
    BANDS,
    NUMBERS,
    TALE,
    THRESHOLD,
    chain,
    edited,
    found,
    jaccard,
    random_text,
    signed,
)


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
