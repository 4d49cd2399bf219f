import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import BusyError, ConfigError, StoreError
from pipeline.core.fingerprint import key_of
from pipeline.core.store import Artifact, Store


@dataclass(frozen=True)
class Thing:
    """A named thing, as a step is."""

    seed: int = 0
    label: str = "corpus"

    @property
    def name(self) -> str:
        return self.label

    @property
    def recipe(self) -> dict[str, Any]:
        return {"stage": self.label, "version": 1, "config": {"seed": self.seed}, "inputs": {}, "sources": {}}

    @property
    def key(self) -> str:
        return key_of(self.recipe)


MADE = {"at": "2026-01-01T00:00:00+00:00", "energy_kwh": 0.0, "emissions_kg": 0.0, "duration_s": 1.0}


def make(store: Store, thing: Thing, text: str = "text") -> Artifact:
    with store.making(thing) as draft:
        (draft / "parts").mkdir(exist_ok=True)
        (draft / "parts" / "a.txt").write_text(text)
        (draft / ".work" / "scratch").write_text("gone")
        made = store.commit(thing, {"lines": 1}, MADE)
        store.tidy(made)
        return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").open()


def test_a_draft_is_no_artifact_until_its_manifest_is_written(store: Store) -> None:
    with store.making(Thing()) as draft:
        (draft / "a.txt").write_text("half")
        assert store.find(Thing()) is None
    assert (draft / "a.txt").exists()  # kept for the next attempt
    assert store.find(Thing()) is None


def test_a_commit_names_every_file_with_its_digest_and_not_the_scratch(store: Store) -> None:
    made = make(store, Thing())
    assert [entry["name"] for entry in made.manifest["files"]] == ["parts/a.txt"]
    assert made.file("parts/a.txt").read_text() == "text"
    assert not (made.path / ".work").exists()
    found = store.find(Thing())
    assert found is not None
    assert found.manifest == made.manifest


def test_two_processes_cannot_make_the_same_artifact_and_kill_9_frees_it(store: Store) -> None:
    code = (
        "import sys; from tests.core.test_store import *\n"
        f"with Store(Path({str(store.root)!r})).making(Thing()): print('held', flush=True); sys.stdin.read()"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(
                BusyError, match=rf"corpus/{Thing().key}: is being made by another process \(pid {other.pid} on host "
            ),
            store.making(Thing()),
        ):
            pass
        other.kill()
        other.wait()
    with store.making(Thing()):
        pass


def test_a_store_of_another_format_is_refused(store: Store) -> None:
    (store.root / "store.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(StoreError, match=r"has format 99 and this version reads format 1"):
        store.open()


def test_a_store_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"run\.store=.*cannot be written"):
        Store(tmp_path / "file" / "store").open()


def test_json_damaged_by_hand_is_named(store: Store) -> None:
    (make(store, Thing()).path / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match=r"manifest\.json: is not JSON"):
        store.find(Thing())


def test_artifacts_are_found_by_the_beginning_of_their_key(store: Store) -> None:
    made = make(store, Thing())
    assert store.get(made.key[:5]).path == made.path
    assert store.get(f"corpus/{made.key}").path == made.path
    with pytest.raises(ConfigError, match=rf"nope: names no artifact in run\.store=.*corpus/{made.key}"):
        store.get("nope")
    make(store, Thing(1))
    with pytest.raises(ConfigError, match="names no artifact"):
        store.get("")


def test_a_file_the_manifest_does_not_name_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match=r"has no file nope\.txt"):
        make(store, Thing()).file("nope.txt")


def test_why_says_in_what_the_nearest_artifact_differs(store: Store) -> None:
    make(store, Thing(0))
    assert store.why(Thing(7)) == {"config.seed": (0, 7)}
    assert store.why(Thing(0)) == {}


def test_gc_removes_only_pieces_that_no_artifact_shares(store: Store) -> None:
    for name in ("used", "unused"):
        piece = store.root / "pieces" / "corpus" / name
        piece.mkdir(parents=True)
        (piece / "a.txt").write_text("12345")
        (piece / "piece.json").write_text("{}")
    made = make(store, Thing())
    os.link(store.root / "pieces" / "corpus" / "used" / "a.txt", made.path / "linked.txt")
    assert store.gc() == 5
    assert [path.name for path in (store.root / "pieces" / "corpus").iterdir()] == ["used"]
