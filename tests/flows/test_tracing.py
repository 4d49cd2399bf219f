"""What `pretrace trace` says; that the steps are the right ones is shown in tests/training/test_tracing_ranks.py."""

import gzip
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.arrow import read_rows
from pipeline.core.files import sha256_of
from pipeline.core.store import Artifact, Store
from tests.flows.conftest import MADE, RECIPE, TEXTS, Command, Shop
from tests.flows.test_cli import FACTS

TRAINED = {**FACTS, "skipped_batches": []}
STEPS = 30


def shop_of(folder: Path, files: dict[str, list[str]], **corpus: Any) -> Shop:
    """Set up a shop over files of texts in one folder, all of one source."""
    (folder / "texts").mkdir()
    for name, texts in files.items():
        (folder / "texts" / name).write_text("\n\n".join(texts))
    source = {"kind": "text", "path": str(folder / "texts")}
    phases = [{"sequence_length": 32, "steps": STEPS, "global_batch": 8}]
    recipe = {**RECIPE, "corpus": {"shards": 2, "sources": [source], **corpus}, "phases": phases}
    (folder / "c.yaml").write_text(yaml.safe_dump({"recipe": recipe, "run": {"store": str(folder / "store")}}))
    return Shop(folder / "c.yaml", Store(folder / "store").open())


def trained(shop: Shop, *skipped: int) -> Artifact:
    for name in ("corpus", "tokenizer", "examples-32"):
        shop.make(name)
    return shop.pretend("pretrain", {}, {**FACTS, "skipped_batches": [{"phase": 0, "batch": at} for at in skipped]})


def documents(shop: Shop) -> dict[str, dict[str, Any]]:
    """Give all documents by their texts, with file and row."""
    corpus = shop.make("corpus")
    return {
        " ".join(row["sentences"]): {**row, "file": name, "row": at}
        for name in corpus.names("documents")
        for at, row in enumerate(read_rows(corpus.file(name)))
    }


@pytest.fixture
def two_files(tmp_path: Path) -> Shop:
    return shop_of(tmp_path, {"a.txt": TEXTS[:20], "b.txt": TEXTS[15:]}, near_duplicates={"mode": "keep"})


@pytest.fixture
def told(pretrace: Command, two_files: Shop) -> Any:
    """Trace and give what programs are told."""

    def told(wanted: str, *arguments: object) -> list[dict[str, Any]]:
        said = pretrace("trace", wanted, "--json", "--store", two_files.store.root, *arguments)
        assert (said.code, said.err) == (0, "")
        found: list[dict[str, Any]] = json.loads(said.out)["documents"]
        return found

    return told


def test_a_document_is_told_with_its_file_shard_row_and_steps(pretrace: Command, two_files: Shop) -> None:
    model = trained(two_files)
    where = documents(two_files)[TEXTS[3]]
    said = pretrace("trace", TEXTS[3][:30], "--store", two_files.store.root)
    assert (said.code, said.err) == (0, "")
    path = two_files.config.parent / "texts" / "a.txt"
    lines = said.out.splitlines()
    assert lines[0] == f"{where['title']}  (found by words in its title or text)"
    corpus = two_files.make("corpus").key
    assert lines[1:4] == [
        f"  id     {where['id']}",
        f"  shard  corpus/{corpus}/{where['file']}, row {where['row']}",
        f"  source text: a.txt  sha256 {sha256_of(path)[:16]}  {path}",
    ]
    assert lines[4].startswith(f"  pretrain/{model.key}: seen at ")
    assert lines[6].split() == ["example", "row", "seen", "at", "step", "(epoch)"]
    assert f"examples/{two_files.make('examples-32').key}/train/" in lines[7]


def test_programs_are_told_all_of_it(told: Any, two_files: Shop) -> None:
    model = trained(two_files)
    where = documents(two_files)[TEXTS[4]]
    for wanted in (where["id"], where["title"], TEXTS[4]):
        (document,) = told(wanted)
        assert {name: document[name] for name in ("id", "title", "url", "file", "row")} == {
            name: where[name] for name in ("id", "title", "url", "file", "row")
        }
    (seen,) = document["models"]
    assert (seen["model"], seen["held_out"]) == (f"pretrain/{model.key}", False)
    (phase,) = seen["phases"]
    each = [example["steps"] for example in phase["examples"]]
    assert seen["steps"] == sorted({step for steps in each for step in steps})
    assert all(0 < step <= STEPS for step in seen["steps"])
    assert all(len(example["steps"]) == len(example["epochs"]) > 0 for example in phase["examples"])


def test_a_held_out_document_was_never_trained_on(pretrace: Command, told: Any, two_files: Shop) -> None:
    trained(two_files)
    held_out = _rows(two_files, "held_out")
    assert held_out
    for text, where in documents(two_files).items():
        (document,) = told(where["id"])
        (model,) = document["models"]
        assert model["held_out"] == ((where["file"], where["row"]) in held_out), text
        assert bool(model["steps"]) != model["held_out"]
        if model["held_out"]:
            said = pretrace("trace", where["id"], "--store", two_files.store.root)
            assert ": held out: the model was measured by it and never trained on it\n" in said.out


def _rows(shop: Shop, part: str) -> set[tuple[str, int]]:
    examples = shop.make("examples-32")
    return {
        (f"documents/{example['shard']:05}.arrow", row)
        for name in examples.names(part)
        for example in read_rows(examples.file(name))
        for row in example["rows"]
    }


def test_a_batch_that_was_passed_over_is_told(pretrace: Command, told: Any, two_files: Shop) -> None:
    trained(two_files, 0)
    passed = [
        (where["id"], example)
        for where in documents(two_files).values()
        for example in told(where["id"])[0]["models"][0]["phases"][0]["examples"]
        if example["passed_over"]
    ]
    assert sum(example["passed_over"] for _, example in passed) >= 8  # all rows of the batch, each of a document or two
    said = pretrace("trace", passed[0][0], "--store", two_files.store.root)
    assert "in a batch that was passed over: 1" in said.out


def test_the_file_is_told_by_the_readings_and_those_it_may_be_without_them(
    pretrace: Command, told: Any, two_files: Shop
) -> None:
    trained(two_files)
    for text in (TEXTS[2], TEXTS[17], TEXTS[30]):
        (document,) = told(text)
        known = [file["name"] for file in document["source_files"]]
        assert (known, document["source_known"]) == ([document["title"].partition(":")[0]], True)
    shutil.rmtree(two_files.store.root / "pieces")
    (document,) = told(TEXTS[30])
    assert ([file["name"] for file in document["source_files"]], document["source_known"]) == (
        ["a.txt", "b.txt"],
        False,
    )
    said = pretrace("trace", TEXTS[30], "--store", two_files.store.root)
    assert "  source text: one of 2 files; which one is no longer known\n" in said.out


def test_of_a_corpus_of_one_file_the_file_is_known_without_readings(pretrace: Command, shop: Shop) -> None:
    shop.make("corpus")
    shutil.rmtree(shop.store.root / "pieces")
    said = pretrace("trace", TEXTS[3], "--store", shop.store.root)
    assert "  source text: texts.txt  sha256 " in said.out


def test_a_file_that_was_unpacked_is_told_by_its_own_digest(pretrace: Command, tmp_path: Path) -> None:
    source = {"kind": "jsonl", "path": str(tmp_path / "texts")}
    shop = shop_of(tmp_path, {}, sources=[source], near_duplicates={"mode": "keep"})
    packed = {}
    for name, texts in (("a.jsonl.gz", TEXTS[:20]), ("b.jsonl.gz", TEXTS[20:])):
        path = tmp_path / "texts" / name
        filler = "".join(json.dumps({"text": f"{name} {at} " * 40}) + "\n" for at in range(4000))
        records = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        path.write_bytes(gzip.compress((records + filler).encode(), 0))
        packed[name] = sha256_of(path)
    shop.make("corpus")
    assert list(shop.store.root.glob("pieces/corpus/*/b.jsonl.gz@*.gz"))  # it was unpacked
    said = pretrace("trace", TEXTS[30], "--json", "--store", shop.store.root)
    (document,) = json.loads(said.out)["documents"]
    assert document["source_known"]
    assert [(file["name"], file["sha256"]) for file in document["source_files"]] == [
        ("b.jsonl.gz", packed["b.jsonl.gz"])
    ]


def test_without_a_model_all_models_of_the_store_are_asked(pretrace: Command, told: Any, two_files: Shop) -> None:
    two_files.make("corpus")
    said = pretrace("trace", TEXTS[3], "--store", two_files.store.root)
    assert f"  no model of this store was trained on corpus/{two_files.make('corpus').key}\n" in said.out
    first = trained(two_files)
    second = two_files.pretend("pretrain", {}, TRAINED, "recipe.pretrain.learning_rate=0.5")
    names = [f"pretrain/{model.key}" for model in (first, second)]
    (document,) = told(TEXTS[3])
    assert sorted(model["model"] for model in document["models"]) == sorted(names)
    (document,) = told(TEXTS[3], "--model", second.key)
    assert [model["model"] for model in document["models"]] == [names[1]]


@dataclass(frozen=True)
class Tuned:
    """A step that stands for a model fine-tuned from another."""

    begun_as: str
    label = name = "finetune"
    key = "0123456789ab"

    @property
    def recipe(self) -> dict[str, Any]:
        inputs = {"pretrain": self.begun_as}
        return {"stage": "finetune", "version": 1, "config": {}, "inputs": inputs, "sources": {}}


def test_of_a_fine_tuned_model_the_one_it_began_as_is_asked(told: Any, two_files: Shop) -> None:
    began = f"pretrain/{trained(two_files).key}"
    with two_files.store.making(Tuned(began)):
        two_files.store.commit(Tuned(began), {}, MADE)
    (document,) = told(TEXTS[3], "--model", Tuned.key)
    assert [model["model"] for model in document["models"]] == [began]


def test_many_matches_are_counted_and_some_are_traced(pretrace: Command, shop: Shop) -> None:
    shop.make("corpus")
    said = pretrace("trace", "Nobody counted the walnuts", "--store", shop.store.root)
    assert said.out.count("(found by words in its title or text)") == 10
    assert said.out.splitlines()[-1] == "30 more documents match; give more words, a url or an id"


def test_what_names_nothing_is_one_sentence(pretrace: Command, shop: Shop) -> None:
    store = ("--store", shop.store.root)
    empty = pretrace("trace", "walnuts", *store)
    assert (empty.code, empty.err) == (
        2,
        f"pretrace: run.store={shop.store.root}: holds no corpus; name another folder with --store\n",
    )
    corpus = shop.make("corpus")
    nothing = pretrace("trace", "hazelnuts", *store)
    assert (nothing.code, nothing.err) == (
        2,
        f"pretrace: hazelnuts: is no document of corpus/{corpus.key}; give an id, a url, a title, or words as they stand in "
        "its text\n",
    )
    assert pretrace("trace", " \n", *store).err.startswith("pretrace: TEXT: is empty; give an id")
    wrong = pretrace("trace", "walnuts", "--model", corpus.key, *store)
    assert (wrong.code, wrong.err) == (2, f"pretrace: corpus/{corpus.key}: is not a model; models are not made yet\n")


def test_why_a_document_was_left_out_is_told_beside_what_else_is_found(pretrace: Command, tmp_path: Path) -> None:
    names = "This text speaks of b.txt:1 and of nothing else, though in more than ten words."
    once = "The very same text, word for word, in two places of the files that were read."
    near = " ".join(f"word{at}" for at in range(200))
    (tmp_path / "exclude.txt").write_text("c.txt:1\n")
    shop = shop_of(
        tmp_path,
        {"a.txt": [once, names], "b.txt": [once, near], "c.txt": [TEXTS[6]], "d.txt": [f"{near} more", *TEXTS[20:]]},
        exclude=str(tmp_path / "exclude.txt"),
    )
    corpus = shop.make("corpus")
    titles = {row["title"]: row["id"] for name in corpus.names("documents") for row in read_rows(corpus.file(name))}
    assert "b.txt:1" not in titles
    said = pretrace("trace", "b.txt:1", "--store", shop.store.root)
    assert said.out.startswith(
        f"of this name: {titles['a.txt:1']} was left out: a document of the same text is kept by this id\n"
        "a.txt:3  (found by words in its title or text)\n"
    )
    said = pretrace("trace", "c.txt:1", "--store", shop.store.root)
    assert said.code == 2
    assert said.err.endswith("was read and is not in it: excluded, or read with other settings\n")
    (removed,) = read_rows(corpus.file("near_duplicates.arrow"))
    said = pretrace("trace", removed["removed"], "--store", shop.store.root)
    assert f"{removed['removed']} was left out: almost the same as {removed['kept']}, which is kept" in said.err


def test_a_file_of_the_lineage_that_is_gone_is_named(pretrace: Command, two_files: Shop) -> None:
    trained(two_files)
    examples = two_files.make("examples-32")
    gone = examples.file(examples.names("train")[1])
    gone.unlink()
    said = pretrace("trace", TEXTS[3], "--store", two_files.store.root)
    assert (said.code, said.err) == (
        2,
        f"pretrace: {gone}: is gone; pretrace audit {examples.key} names all that is missing\n",
    )
