import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.files import SourceFile
from pipeline.core.fingerprint import key_of
from pipeline.core.lineage import ancestors, inherited, provenance
from pipeline.core.store import Artifact, Store

COST = {"energy_kwh": 1.0, "emissions_kg": 0.5, "duration_s": 10.0}


@dataclass(frozen=True)
class Made:
    """A step with inputs that are made already."""

    label: str
    inputs: dict[str, Artifact] = field(default_factory=dict)

    @property
    def recipe(self) -> dict[str, Any]:
        inputs = {role: f"{artifact.label}/{artifact.key}" for role, artifact in self.inputs.items()}
        return {"stage": self.label, "version": 1, "config": {}, "inputs": inputs, "sources": {}}

    @property
    def key(self) -> str:
        return key_of(self.recipe)


def make(store: Store, label: str, **inputs: Artifact) -> Artifact:
    step = Made(label, inputs)
    with store.making(step):
        return store.commit(step, {}, {"at": "2026-01-01", **COST})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").open()


@pytest.fixture
def diamond(store: Store) -> dict[str, Artifact]:
    """Examples come from the tokenizer and the corpus, and the tokenizer from the corpus."""
    corpus = make(store, "corpus")
    tokenizer = make(store, "tokenizer", corpus=corpus)
    return {
        "corpus": corpus,
        "tokenizer": tokenizer,
        "examples": make(store, "examples", corpus=corpus, tokenizer=tokenizer),
    }


def test_ancestors_are_listed_once_each_itself_first(store: Store, diamond: dict[str, Artifact]) -> None:
    found = ancestors(diamond["examples"], store)
    assert found[0] == diamond["examples"]
    assert sorted(artifact.label for artifact in found) == ["corpus", "examples", "tokenizer"]
    assert ancestors(diamond["corpus"], store) == [diamond["corpus"]]


def test_an_ancestor_that_is_gone_is_named(store: Store, diamond: dict[str, Artifact]) -> None:
    (diamond["corpus"].path / "manifest.json").unlink()
    with pytest.raises(ConfigError, match=rf"corpus/{diamond['corpus'].key}: names no artifact"):
        ancestors(diamond["examples"], store)


def test_what_was_paid_counts_every_ancestor_once(store: Store, diamond: dict[str, Artifact]) -> None:
    total = inherited(COST, [diamond["corpus"], diamond["tokenizer"]], store)
    assert total == {"energy_kwh_total": 3.0, "emissions_kg_total": 1.5, "duration_s_total": 30.0}
    assert inherited(COST, [], store) == {f"{name}_total": value for name, value in COST.items()}


def test_provenance_says_where_the_sources_lay() -> None:
    said = provenance({"sources.0": (SourceFile("a.txt", Path("/data/a.txt"), 1, "00"),)})
    assert said["sources"] == {"sources.0": ["/data/a.txt"]}
    assert said["packages"].keys() >= {"pretrace", "torch", "ray", "pyarrow"}
    assert said["at"].endswith("+00:00")
    assert "no-such-package" not in said["packages"]


def test_provenance_says_what_computed_and_with_how_many() -> None:
    said = provenance({}, places={"workers": 2, "ranks": 4})
    assert said["accelerator"].keys() == {"processor", "threads", "gpus"}
    assert said["places"] == {"workers": 2, "ranks": 4}


def test_nobody_is_named_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "somebody")
    assert "operator" not in provenance({})
    assert "somebody" not in json.dumps(provenance({}))
    assert provenance({}, "Ada Lovelace")["operator"] == "Ada Lovelace"


def test_a_manifest_holds_no_password_and_nothing_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETRACE_TEST_TOKEN", "environment-secret")
    uris = ["run.store=s3://me:store-secret@bucket/a", "run.tracking_uri=postgresql://me:uri-secret@head/db"]
    monkeypatch.setattr("sys.argv", ["/bin/pretrace", "run", *uris])
    step = Made("corpus")
    store = Store(tmp_path / "store").open()
    with store.making(step):
        artifact = store.commit(step, {}, {**provenance({}), **COST})
    text = (artifact.path / "manifest.json").read_text()
    assert "run.store=s3://bucket/a" in text
    assert "run.tracking_uri=postgresql://head/db" in text
    assert "secret" not in text


def test_provenance_has_the_command_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["/bin/pretrace", "run", "a.yaml", "run.tracking_uri=http://me:secret@head:5000", "recipe.name=a@b"]
    monkeypatch.setattr("sys.argv", given)
    assert provenance({})["command"] == [
        "pretrace",
        "run",
        "a.yaml",
        "run.tracking_uri=http://head:5000",
        "recipe.name=a@b",
    ]


def test_provenance_has_the_commit_of_the_code_and_whether_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    file = tmp_path / "lineage.py"
    monkeypatch.setattr("pipeline.core.lineage.__file__", str(file))
    assert provenance({})["code"] is None
    git("init", "-q")
    file.write_text("one")
    assert provenance({})["code"] is None  # a file that the checkout does not know
    git("add", "lineage.py")
    git("commit", "-q", "-m", "one")
    commit = git("rev-parse", "HEAD")
    assert provenance({})["code"] == {"commit": commit, "changed": False}
    file.write_text("two")
    assert provenance({})["code"] == {"commit": commit, "changed": True}
