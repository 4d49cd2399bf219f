"""What a change costs: exactly the pieces that read what changed, with the tokenizer pinned."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.arrow import read_rows
from pipeline.core.store import Artifact
from pipeline.text.dedup import identity, shard_of
from tests.stages.conftest import Workshop, files_of

SHARDS, OUT = 6, 2
SETTINGS: dict[str, Any] = {"corpus": {"shards": SHARDS}, "examples": {"shards": OUT, "held_out_fraction": 0.1}}
BOOKS = 5


class Bench:
    """A corpus of several books of news, its tokenizer pinned, made into examples again and again."""

    def __init__(self, workshop: Workshop, news: list[str]) -> None:
        self.workshop = workshop
        self.books = {f"book{at}.txt": news[30 * at : 30 * at + 30] for at in range(BOOKS)}
        first = workshop.make(workshop.plan(self._sources(), **SETTINGS)["tokenizer"])
        self.pinned = {"tokenizer": {"path": str(first.path)}}
        self.make()

    def make(self, **corpus: Any) -> tuple[Artifact, Artifact]:
        """Make the corpus and the examples, of the books as they are now."""
        settings = {**SETTINGS, **self.pinned, "corpus": {**SETTINGS["corpus"], **corpus}}
        steps = self.workshop.plan(self._sources(), **settings)
        return self.workshop.make(steps["corpus"]), self.workshop.make(steps["examples-64"])

    def pieces(self) -> dict[str, int]:
        """Count the pieces of each stage, and check that none was made twice."""
        return {label: len(self.workshop.pieces(label)) for label in ("corpus", "examples")}

    def _sources(self) -> list[dict[str, Any]]:
        return self.workshop.write(self.books)


@pytest.fixture
def bench(workshop: Workshop, news: list[str]) -> Bench:
    return Bench(workshop, news)


def more(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {label: after[label] - before[label] for label in before}


def ids_of(corpus: Artifact) -> set[str]:
    return {row["id"] for name in corpus.names("documents") for row in read_rows(corpus.file(name))}


def test_nothing_changed_makes_nothing(bench: Bench) -> None:
    before = bench.pieces()
    bench.make()
    assert bench.pieces() == before


def test_excluding_a_document_remakes_its_shard_and_the_examples_of_it(bench: Bench, tmp_path: Path) -> None:
    before, kept = bench.pieces(), {label: bench.workshop.pieces(label) for label in ("corpus", "examples")}
    old, _ = bench.make()
    title = "book2.txt:7"
    (tmp_path / "exclude.txt").write_text(f"{title}\n", encoding="utf-8")
    new, _ = bench.make(exclude=str(tmp_path / "exclude.txt"))
    (gone,) = ids_of(old) - ids_of(new)
    assert ids_of(new) < ids_of(old)
    changed = [name for name, digest in files_of(old).items() if files_of(new)[name] != digest]
    assert changed == [f"documents/{shard_of(gone, SHARDS):05}.arrow"]
    assert new.manifest["facts"]["dropped"]["exclude: listed in recipe.corpus.exclude"] == 1
    # one shard gathered; its examples made; and dealt, which copies: every dealt file holds some of every shard
    assert more(before, bench.pieces()) == {"corpus": 1, "examples": 1 + OUT}
    for label, pieces in kept.items():
        assert {name: bench.workshop.pieces(label)[name] for name in pieces} == pieces  # none was made again


def test_changing_a_book_remakes_its_reading_and_the_shards_that_differ(bench: Bench) -> None:
    before = bench.pieces()
    old, _ = bench.make()
    was = bench.books["book3.txt"][4]
    becomes = was + " And then something else happened, which nobody had foreseen."
    bench.books["book3.txt"] = [becomes if text is was else text for text in bench.books["book3.txt"]]
    new, _ = bench.make()
    shards = {shard_of(identity([text]), SHARDS) for text in (was, becomes)}
    changed = {name for name, digest in files_of(old).items() if files_of(new)[name] != digest}
    assert {f"documents/{shard:05}.arrow" for shard in shards} == changed - {"near_duplicates.arrow"}
    assert len(ids_of(old) - ids_of(new)) == len(ids_of(new) - ids_of(old)) == 1
    # read, signed and compared; then the shards that held the old text and hold the new one
    assert more(before, bench.pieces()) == {"corpus": 3 + len(shards), "examples": len(shards) + OUT}


def test_another_number_of_example_shards_only_deals_again(bench: Bench) -> None:
    before = bench.pieces()
    bench.pinned["examples"] = {**SETTINGS["examples"], "shards": OUT + 1}
    bench.make()
    assert more(before, bench.pieces()) == {"corpus": 0, "examples": OUT + 1}


def test_an_excluded_line_that_means_no_document_is_told(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "exclude.txt").write_text("No such title\n", encoding="utf-8")
    corpus, _ = bench.make(exclude=str(tmp_path / "exclude.txt"))
    assert corpus.manifest["facts"]["excluded_unmatched"] == ["No such title"]
