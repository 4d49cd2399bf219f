import gzip
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.arrow import read_rows
from pipeline.core.errors import DataError
from pipeline.core.store import Artifact
from pipeline.text.dedup import identity, shard_of
from pipeline.text.reader import SKIPPED_LISTED
from tests.stages.conftest import Workshop, files_of

ONE, TWO, THREE = "One is a text. It has two sentences.", "Two is another text.", "Three is the last of the texts."


def rows(corpus: Artifact) -> list[dict[str, Any]]:
    return [row for name in corpus.names("documents") for row in read_rows(corpus.file(name))]


def texts(corpus: Artifact) -> list[tuple[str, str]]:
    return sorted((" ".join(row["sentences"]), row["source"]) for row in rows(corpus))


def test_documents_are_split_into_sentences_and_keep_where_they_came_from(workshop: Workshop) -> None:
    (row,) = rows(workshop.make(workshop.plan(workshop.write({"a.txt": [ONE]}))["corpus"]))
    assert row == {
        "id": identity([ONE]),
        "source": "a.txt",
        "title": "a.txt:1",
        "url": "",
        "sentences": ["One is a text.", "It has two sentences."],
    }


def test_equal_documents_of_one_source_are_kept_once(workshop: Workshop) -> None:
    corpus = workshop.make(
        workshop.plan(workshop.write({"a.txt": [ONE, TWO, ONE, ONE.replace(". ", ".\n ")]}))["corpus"]
    )
    assert texts(corpus) == [(ONE, "a.txt"), (TWO, "a.txt")]
    assert (corpus.manifest["facts"]["documents"], corpus.manifest["facts"]["duplicates"]) == (2, 2)


@pytest.mark.parametrize("first", ["a.txt", "b.txt"])
def test_of_equal_documents_the_one_of_the_first_source_stays(workshop: Workshop, first: str) -> None:
    sources = workshop.write({"a.txt": [ONE, TWO], "b.txt": [TWO, THREE]})
    sources.sort(key=lambda source: source["name"] != first)
    corpus = workshop.make(workshop.plan(sources)["corpus"])
    assert texts(corpus) == [(ONE, "a.txt"), (THREE, "b.txt"), (TWO, first)]
    assert corpus.manifest["facts"]["duplicates"] == 1


def test_every_document_is_in_the_shard_of_its_text_and_shards_are_sorted(workshop: Workshop, news: list[str]) -> None:
    corpus = workshop.make(workshop.plan(workshop.write({"news.txt": news[:60]}))["corpus"])
    names = corpus.names("documents")
    assert names == ["documents/00000.arrow", "documents/00001.arrow", "documents/00002.arrow"]
    for number, name in enumerate(names):
        ids = [row["id"] for row in read_rows(corpus.file(name))]
        assert ids == sorted(set(ids))
        assert {shard_of(document, 3) for document in ids} == {number}
    assert len(rows(corpus)) == len({identity([text]) for text in news[:60]})


def test_more_shards_than_documents_leave_some_empty(workshop: Workshop) -> None:
    corpus = workshop.make(workshop.plan(workshop.write({"a.txt": [ONE, TWO]}), corpus={"shards": 9})["corpus"])
    assert len(corpus.names("documents")) == 9
    assert len(rows(corpus)) == 2


def test_facts_say_what_the_files_hold(workshop: Workshop, news: list[str]) -> None:
    corpus = workshop.make(workshop.plan(workshop.write({"a.txt": news[:20], "b.txt": news[15:30]}))["corpus"])
    facts, found = corpus.manifest["facts"], rows(corpus)
    assert facts["read"] == 35
    assert facts["read_by_source"] == {"a.txt": 20, "b.txt": 15}
    assert facts["documents"] == len(found) == facts["read"] - facts["duplicates"]
    assert facts["sentences"] == sum(len(row["sentences"]) for row in found)
    assert facts["characters"] == sum(len(sentence) for row in found for sentence in row["sentences"])
    listed = [entry for entry in corpus.manifest["files"] if entry["name"].startswith("documents/")]
    assert sum(entry["rows"] for entry in listed) == len(found)


def test_the_same_files_give_the_same_bytes_wherever_they_lie(
    tmp_path: Path, workshop: Workshop, news: list[str]
) -> None:
    files = {"a.txt": news[:30], "b.txt": news[20:50]}
    here = workshop.make(workshop.plan(workshop.write(files))["corpus"])
    elsewhere = Workshop(tmp_path / "elsewhere", type(workshop.store)(tmp_path / "other store").open())
    there = elsewhere.make(elsewhere.plan(elsewhere.write(files))["corpus"])
    assert here.path.parent != there.path.parent
    assert files_of(here) == files_of(there)
    assert here.key == there.key


def test_a_changed_file_is_read_again_alone_and_touches_only_its_shards(workshop: Workshop, news: list[str]) -> None:
    files = {f"{number}.txt": news[10 * number : 10 * number + 10] for number in range(4)}
    before = workshop.make(workshop.plan(workshop.write(files), corpus={"shards": 16})["corpus"])
    pieces = workshop.pieces("corpus")
    files["2.txt"] = [*files["2.txt"], ONE]
    after = workshop.make(workshop.plan(workshop.write(files), corpus={"shards": 16})["corpus"])
    shard = shard_of(identity([ONE]), 16)
    old, new = files_of(before), files_of(after)
    assert [name for name in old if old[name] != new[name]] == [f"documents/{shard:05}.arrow"]
    more = workshop.pieces("corpus")
    assert {name: more[name] for name in pieces} == pieces  # none was made again
    assert len(more) == len(pieces) + 4  # one reading, signed and compared; one shard


def test_a_new_source_is_read_alone(workshop: Workshop, news: list[str]) -> None:
    sources = workshop.write({"a.txt": news[:10], "b.txt": [TWO]})
    workshop.make(workshop.plan(sources[:1])["corpus"])
    pieces = workshop.pieces("corpus")
    workshop.make(workshop.plan(sources)["corpus"])
    assert len(workshop.pieces("corpus")) == len(pieces) + 4


def damaged(folder: Path, good: int, bad: int) -> list[dict[str, Any]]:
    """A text file with some documents that are not UTF-8."""
    folder.mkdir()
    blocks = [f"Text number {number} is fine.".encode() for number in range(good)]
    blocks[1:1] = [b"caf\xe9 number %d" % number for number in range(bad)]
    (folder / "a.txt").write_bytes(b"\n\n".join(blocks))
    return [{"kind": "text", "path": str(folder / "a.txt")}]


def test_what_cannot_be_parsed_is_skipped_counted_and_listed(workshop: Workshop) -> None:
    corpus = workshop.make(workshop.plan(damaged(workshop.folder, 98, 2), corpus={"max_bad_fraction": 0.02})["corpus"])
    facts = corpus.manifest["facts"]
    assert (facts["read"], facts["skipped"], facts["documents"]) == (98, 2, 98)
    assert facts["skipped_list"] == [
        f"a.txt: line {line}: not UTF-8 (byte 0xe9); convert the file to UTF-8" for line in (3, 5)
    ]


def test_too_much_that_cannot_be_parsed_fails_the_stage(workshop: Workshop) -> None:
    step = workshop.plan(damaged(workshop.folder, 97, 3), corpus={"max_bad_fraction": 0.02})["corpus"]
    with pytest.raises(
        DataError,
        match=r"^recipe\.corpus\.max_bad_fraction=0\.02: 3 of 100 documents cannot be parsed, the first is a\.txt: line 3: "
        r"not UTF-8 .*; mend the files or raise the setting$",
    ):
        workshop.make(step)
    assert workshop.store.find(step) is None


def test_all_that_is_skipped_is_counted_and_only_some_listed(workshop: Workshop) -> None:
    bad = SKIPPED_LISTED + 5
    corpus = workshop.make(workshop.plan(damaged(workshop.folder, 5, bad), corpus={"max_bad_fraction": 1.0})["corpus"])
    assert corpus.manifest["facts"]["skipped"] == bad
    assert len(corpus.manifest["facts"]["skipped_list"]) == SKIPPED_LISTED


def test_files_without_any_text_are_an_empty_corpus(workshop: Workshop) -> None:
    step = workshop.plan(workshop.write({"a.txt": ["", "  \n "], "b.txt": []}))["corpus"]
    with pytest.raises(
        DataError, match=r"^recipe\.corpus\.sources: 2 files hold no document with text; name other files$"
    ):
        workshop.make(step)
    assert workshop.store.find(step) is None


def test_a_file_that_is_cut_fails_the_stage_and_the_others_are_kept(workshop: Workshop, news: list[str]) -> None:
    sources = workshop.write({"a.txt": news[:10], "b.txt": [TWO]})
    cut = workshop.folder / "cut.txt.gz"
    cut.write_bytes(gzip.compress("\n\n".join(news[:50]).encode())[:-100])
    sources.append({"kind": "text", "path": str(cut)})
    step = workshop.plan(sources)["corpus"]
    with pytest.raises(DataError, match=r"cut\.txt\.gz: cut at byte \d+, in the middle of a compressed stream"):
        workshop.make(step)
    assert workshop.store.find(step) is None
    assert len(workshop.pieces("corpus")) == 2
