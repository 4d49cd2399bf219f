"""The corpus stage over long files, cleaning, lists of the excluded and near-duplicates: real dumps, real books, real news."""

import bz2
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.arrow import read_rows
from pipeline.core.errors import DataError
from pipeline.core.store import Artifact
from pipeline.text import sentences
from pipeline.text.sentences import split_all
from tests.stages.conftest import Workshop, files_of

SINGLE = "wikipedia/enwiki-gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
MULTISTREAM = "wikipedia/enwiki-multistream-derived/enwiki-pages-articles-multistream.xml.bz2"
TWICE = {"Expectations", "Treasure"}
"""A word of the titles of the books that both archives have; the files are named differently."""


def rows(corpus: Artifact) -> list[dict[str, Any]]:
    return [row for name in corpus.names("documents") for row in read_rows(corpus.file(name))]


def test_a_dump_gives_the_same_bytes_as_one_stream_as_many_and_plain(workshop: Workshop, shared_data: Path) -> None:
    workshop.folder.mkdir()
    plain = workshop.folder / "dump.xml"
    plain.write_bytes(bz2.decompress((shared_data / SINGLE).read_bytes()))
    made = [
        workshop.make(workshop.plan([{"kind": "wikipedia", "path": str(path)}])["corpus"])
        for path in (shared_data / SINGLE, shared_data / MULTISTREAM, plain)
    ]
    assert len({corpus.key for corpus in made}) == 3
    assert len(rows(made[0])) > 100
    documents = [sorted((row["id"], row["title"]) for row in rows(corpus)) for corpus in made]
    assert documents[0] == documents[1] == documents[2]


def test_a_long_stream_is_unpacked_once_and_read_in_several_spans(workshop: Workshop, shared_data: Path) -> None:
    step = workshop.plan([{"kind": "wikipedia", "path": str(shared_data / SINGLE)}])["corpus"]
    workshop.make(step)
    pieces = [path.parent for path in workshop.store.root.glob("pieces/corpus/*/piece.json")]
    unpacked = [piece for piece in pieces if not list(piece.glob("*.arrow"))]
    readings = [piece for piece in pieces if (piece / "index.arrow").exists()]
    assert len(unpacked) == 1
    chunks = [path for path in unpacked[0].iterdir() if path.name != "piece.json"]
    assert len(readings) == len(chunks) > 1


def test_what_cleaning_leaves_out_is_counted_by_step_and_reason(workshop: Workshop, news: list[str]) -> None:
    french = (
        "Le gouvernement a annoncé hier une nouvelle loi sur les retraites, et les syndicats ont appelé à la grève."
    )
    sources = workshop.write({"a.txt": [*news[:10], "Too short.", french]})
    cleaning = {"steps": ["repair", "length", "language"], "minimum_words": 5}
    corpus = workshop.make(workshop.plan(sources, corpus={"cleaning": cleaning})["corpus"])
    facts = corpus.manifest["facts"]
    assert facts["documents"] == facts["read"] == 10
    assert facts["dropped"] == {"length: shorter than 5 words": 1, "language: language fr": 1}


def test_markup_that_is_left_out_is_counted_by_kind(workshop: Workshop, shared_data: Path) -> None:
    corpus = workshop.make(workshop.plan([{"kind": "wikipedia", "path": str(shared_data / MULTISTREAM)}])["corpus"])
    left_out = corpus.manifest["facts"]["left_out"]
    assert {"tables", "references", "templates", "images"} <= set(left_out)
    assert min(left_out.values()) > 0


def test_the_two_books_of_both_archives_are_found_and_no_others(workshop: Workshop, shared_data: Path) -> None:
    workshop.folder.mkdir()
    for archive in sorted(shared_data.glob("books/*/*.tar.zst")):
        unpacked = subprocess.run(["zstd", "-d", "--long=27", "-c", archive], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", workshop.folder], input=unpacked, check=True)
    sources = [{"kind": "books", "path": str(workshop.folder)}]
    corpus = workshop.make(workshop.plan(sources)["corpus"])
    removed = list(read_rows(corpus.file("near_duplicates.arrow")))
    index = workshop.store.root.glob("pieces/corpus/*/index.arrow")
    title_of = {row["id"]: row["title"] for path in index for row in read_rows(path)}
    assert len(removed) == len(TWICE)
    found = {
        word for row in removed for word in TWICE if word in title_of[row["kept"]] and word in title_of[row["removed"]]
    }
    assert found == TWICE
    facts = corpus.manifest["facts"]
    assert facts["dropped"]["near_duplicates: almost the same as a document that is kept"] == 2
    assert facts["clusters"]["count"] == 2
    for cluster in facts["clusters"]["largest"]:
        (title,) = cluster["removed"]
        assert any(word in cluster["kept"] and word in title for word in TWICE)


def almost(text: str, part: int = 2) -> str:
    """Change one word of a text: in the middle, or a third or quarter from its beginning."""
    words = text.split()
    words[len(words) // part] = "otherwise"
    return " ".join(words)


def test_when_the_document_kept_of_a_cluster_is_excluded_another_takes_its_place(
    workshop: Workshop, news: list[str], tmp_path: Path
) -> None:
    sources = workshop.write({"a.txt": news[:5], "b.txt": [almost(news[1]), news[7]]})
    before = workshop.make(workshop.plan(sources)["corpus"])
    titles = {row["title"] for row in rows(before)}
    assert "b.txt:1" not in titles
    (tmp_path / "list").write_text("a.txt:3\n", encoding="utf-8")  # the second document: titles count lines
    after = workshop.make(workshop.plan(sources, corpus={"exclude": str(tmp_path / "list")})["corpus"])
    assert {row["title"] for row in rows(after)} == titles - {"a.txt:3"} | {"b.txt:1"}


def test_however_many_of_a_cluster_are_excluded_one_of_the_others_stays(
    workshop: Workshop, news: list[str], tmp_path: Path
) -> None:
    first, second, third = news[1], almost(news[1]), almost(news[1], 3)[:-10]  # the longest leads
    sources = workshop.write({"a.txt": [first, second, third, news[7]]})
    assert len(rows(workshop.make(workshop.plan(sources)["corpus"]))) == 2
    for excluded, left in (("a.txt:1", "a.txt:3"), ("a.txt:1\na.txt:3", "a.txt:5"), ("a.txt:3", "a.txt:1")):
        (tmp_path / "list").write_text(excluded + "\n", encoding="utf-8")
        after = workshop.make(workshop.plan(sources, corpus={"exclude": str(tmp_path / "list")})["corpus"])
        assert {row["title"] for row in rows(after)} == {left, "a.txt:7"}


def test_near_duplicates_can_be_kept(workshop: Workshop, news: list[str]) -> None:
    sources = workshop.write({"a.txt": [news[1], almost(news[1])]})
    near = {"near_duplicates": {"mode": "keep"}}
    assert len(rows(workshop.make(workshop.plan(sources, corpus=near)["corpus"]))) == 2
    assert len(rows(workshop.make(workshop.plan(sources)["corpus"]))) == 1


def test_a_document_that_takes_too_long_is_skipped_counted_and_listed(
    workshop: Workshop, news: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hanging(paragraphs: list[str], language: str) -> list[str]:
        while "endless" in paragraphs[0]:
            pass
        return split_all(paragraphs, language)

    monkeypatch.setattr(sentences, "split_all", hanging)
    sources = workshop.write({"a.txt": [*news[:3], "This text is endless.", *news[3:5]]})
    corpus = {"document_seconds": 1, "max_bad_fraction": 1.0}
    facts = workshop.make(workshop.plan(sources, corpus=corpus)["corpus"]).manifest["facts"]
    assert (facts["documents"], facts["skipped"]) == (5, 1)
    assert facts["skipped_list"] == [
        "a.txt: document 'a.txt:7': took longer than 1 s; raise recipe.corpus.document_seconds if it should be kept"
    ]


def test_a_cut_dump_can_be_kept_up_to_the_cut(workshop: Workshop, shared_data: Path) -> None:
    whole = (shared_data / MULTISTREAM).read_bytes()
    workshop.folder.mkdir()
    cut = workshop.folder / "cut.xml.bz2"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    source = {"kind": "wikipedia", "path": str(cut)}
    with pytest.raises(DataError, match=r"cut\.xml\.bz2"):
        workshop.make(workshop.plan([source])["corpus"])
    kept = workshop.make(workshop.plan([{**source, "truncated": "keep"}])["corpus"])
    assert kept.manifest["facts"]["skipped"] == 0  # a word about the file is no document that could not be parsed
    assert kept.manifest["facts"]["documents"] > 0
    assert any("cut" in line for line in kept.manifest["facts"]["skipped_list"])


def test_two_recipes_that_differ_in_the_list_alone_share_their_readings(
    workshop: Workshop, news: list[str], tmp_path: Path
) -> None:
    sources = workshop.write({"a.txt": news[:20]})
    first = workshop.make(workshop.plan(sources)["corpus"])
    (tmp_path / "list").write_text("a.txt:1\n", encoding="utf-8")
    before = workshop.pieces("corpus")
    second = workshop.make(workshop.plan(sources, corpus={"exclude": str(tmp_path / "list")})["corpus"])
    made = set(workshop.pieces("corpus")) - set(before)
    assert not [piece for piece in made if (workshop.store.root / "pieces" / "corpus" / piece / "index.arrow").exists()]
    assert first.key != second.key
    changed = [name for name, digest in files_of(first).items() if files_of(second)[name] != digest]
    assert len(changed) == 1


def test_a_corpus_of_which_nothing_is_kept_says_why(workshop: Workshop) -> None:
    sources = workshop.write({"a.txt": ["Short.", "Also short."]})
    step = workshop.plan(sources, corpus={"cleaning": {"minimum_words": 5}})["corpus"]
    with pytest.raises(
        DataError,
        match=r"^recipe\.corpus: every document was left out \(length: shorter than 5 words: 2\); change these",
    ):
        workshop.make(step)
