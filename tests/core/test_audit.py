"""A small store of three things, each made from the one before, the first from a file from outside."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.audit import CHANGED, EXTRA, MISSING, Checked, audit, locate, manifest_of
from pipeline.core.errors import ConfigError
from pipeline.core.files import sha256_of, write_json
from pipeline.core.store import Artifact, Store, contents_of, digest_of

NAMES = ("corpus", "tokenizer", "pretrain")


class Thing:
    """A named thing with inputs and sources, as a step is."""

    def __init__(self, label: str, inputs: dict[str, str], sources: dict[str, list[dict[str, Any]]]) -> None:
        self.label = self.name = label
        self.recipe = {"stage": label, "version": 1, "config": {}, "inputs": inputs, "sources": sources}

    @property
    def key(self) -> str:
        from pipeline.core.fingerprint import key_of

        return key_of(self.recipe)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("audited")
    (root / "dump.txt").write_text("Some text.\n")
    made_all(root)
    return root


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy, with the file from outside where the manifest says: both are put back."""
    kept = (template / "dump.txt").read_bytes()
    shutil.copytree(template / "store", tmp_path / "store")
    yield template
    shutil.rmtree(template / "store")
    shutil.move(tmp_path / "store", template / "store")
    (template / "dump.txt").write_bytes(kept)


def made_all(root: Path) -> None:
    store, dump = Store(root / "store").open(), root / "dump.txt"
    entry = {"name": "dump.txt", "bytes": dump.stat().st_size, "sha256": sha256_of(dump)}
    before: Artifact | None = None
    for label in NAMES:
        inputs = {before.label: f"{before.label}/{before.key}"} if before else {}
        thing = Thing(label, inputs, {} if before else {"sources": [entry]})
        noted = {before.label: contents_of(before.manifest)} if before else {}
        with store.making(thing) as draft:
            (draft / "parts").mkdir()
            (draft / "parts" / "a.txt").write_text(f"made of {label}")
            (draft / "empty.txt").write_text("")
            sources = {} if before else {"sources": [str(dump)]}
            made = {"at": "2026-01-01", "inputs": noted, "sources": sources, "energy_kwh": 0.25}
            before = store.commit(thing, {"loss": 0.1}, made)
            store.tidy(before)


def checked(root: Path) -> list[Checked]:
    store = Store(root / "store")
    return audit(store, f"pretrain/{folder(root, 'pretrain').name}", lambda done, total: None)


def problems(root: Path) -> list[tuple[str, str]]:
    return [
        (problem.path.relative_to(root).as_posix(), problem.what) for one in checked(root) for problem in one.problems
    ]


def files(root: Path) -> list[Path]:
    return [path for path in [root / "dump.txt", *sorted((root / "store").glob("*/*/**/*"))] if path.is_file()]


def folder(root: Path, label: str) -> Path:
    return next((root / "store" / label).iterdir())


def test_nothing_is_found_where_nothing_was_changed(place: Path) -> None:
    found = checked(place)
    assert [one.name.split("/")[0] for one in found] == [*reversed(NAMES), "sources of corpus"]
    assert [(len(one.files), one.problems) for one in found] == [(2, [])] * 3 + [(1, [])]
    assert found[-1].plain()["bytes"] == 11


def test_every_flipped_bit_of_every_byte_is_found_and_its_file_named(place: Path) -> None:
    for path in files(place):
        text = path.read_bytes()
        for at, byte in enumerate(text):
            path.write_bytes(text[:at] + bytes([byte ^ 1 << at % 8]) + text[at + 1 :])
            named = {name for name, _ in problems(place)}
            assert path.relative_to(place).as_posix() in named, (path, at)
        path.write_bytes(text)
    assert problems(place) == []


def test_what_is_missing_or_extra_is_named(place: Path) -> None:
    for path in files(place):
        text = path.read_bytes()
        path.unlink()
        assert (path.relative_to(place).as_posix(), MISSING) in problems(place)
        path.write_bytes(text)
    added = folder(place, "corpus") / "parts" / "b.txt"
    added.write_text("more")
    assert problems(place) == [(added.relative_to(place).as_posix(), EXTRA)]
    added = added.rename(added.with_name("manifest.json"))
    assert problems(place) == [(added.relative_to(place).as_posix(), EXTRA)]


def test_a_file_with_another_byte_is_found_by_its_length(place: Path) -> None:
    path = folder(place, "tokenizer") / "parts" / "a.txt"
    path.write_text(path.read_text() + " ")
    assert problems(place) == [(path.relative_to(place).as_posix(), CHANGED)]


def test_an_input_that_was_exchanged_for_another_whole_one_is_found(place: Path) -> None:
    corpus = folder(place, "corpus")
    (corpus / "parts" / "a.txt").write_text("other")
    manifest = json.loads((corpus / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["name"] == "parts/a.txt":
            entry |= {"bytes": 5, "sha256": sha256_of(corpus / "parts" / "a.txt")}
    manifest["digest"] = digest_of(manifest)
    write_json(corpus / "manifest.json", manifest)
    ((name, what),) = problems(place)
    assert name.endswith("manifest.json")
    assert what == f"is not the one that tokenizer/{folder(place, 'tokenizer').name} was made from"


def test_the_same_contents_made_at_another_time_prove_as_much(place: Path) -> None:
    note = folder(place, "corpus") / "manifest.json"
    manifest = json.loads(note.read_text())
    manifest["made"]["at"] = "2027-01-01"
    manifest["digest"] = digest_of(manifest)
    write_json(note, manifest)
    assert problems(place) == []


def test_a_manifest_at_the_place_of_another_is_found(place: Path) -> None:
    corpus = folder(place, "corpus")
    manifest = json.loads((corpus / "manifest.json").read_text())
    manifest["config"] = {"seed": 7}
    manifest["digest"] = digest_of(manifest)
    write_json(corpus / "manifest.json", manifest)
    assert [what for _, what in problems(place)] == ["is the manifest of another artifact"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "7", "[" * 100_000, '{"digest": "x"}'])
def test_whatever_lies_in_the_place_of_a_manifest_is_a_finding(place: Path, text: str) -> None:
    note = folder(place, "tokenizer") / "manifest.json"
    note.write_text(text)
    assert problems(place) == [
        (note.relative_to(place).as_posix(), "changed; what it names cannot be checked"),
    ]
    assert manifest_of(Store(place / "store"), f"tokenizer/{note.parent.name}") is None


@pytest.mark.parametrize("wanted", ["", "nope", "corpus/nope"])
def test_a_key_that_names_nothing_is_one_sentence(place: Path, wanted: str) -> None:
    with pytest.raises(ConfigError, match=r"names no artifact in run\.store=.*; pretrace show lists them$"):
        locate(Store(place / "store"), wanted)


def test_the_bytes_hashed_are_told(place: Path) -> None:
    told: list[tuple[int, int]] = []
    store = Store(place / "store")
    audit(store, locate(store, folder(place, "pretrain").name[:6]), lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 0
    assert told == sorted(told)


@pytest.mark.parametrize("reference", ["/data/my-bert", "data/my/bert", "/"])
def test_a_path_names_no_artifact(reference: str, place: Path) -> None:
    with pytest.raises(ConfigError, match="names no artifact"):
        locate(Store(place / "store"), reference)
