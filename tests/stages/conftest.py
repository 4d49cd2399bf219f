"""A workshop for the data stages: real news, planned as the product plans it, made in this process one after another."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Recipe
from pipeline.core.files import Digests
from pipeline.core.progress import Quiet
from pipeline.core.stage import Step, materialize
from pipeline.core.store import Artifact, Store
from pipeline.outside import locate
from pipeline.plan import plan
from pipeline.running import Run
from tests.core.places import InTurn, Unrecorded

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.?,"
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
NEWS = "package:gensim/test/test_data/lee_background.cor"
SMALL = {
    "corpus": {"shards": 3, "cleaning": {"minimum_words": 1}},
    "tokenizer": {"vocab_size": 400},
    "examples": {"held_out_fraction": 0.1},
    "phases": [{"sequence_length": 64, "steps": 1, "global_batch": 2}],
}


@dataclass(frozen=True)
class Workshop:
    """Plans recipes over text files below one folder, and makes their steps into a store."""

    folder: Path
    store: Store

    def write(self, files: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        """Write text files of documents; returns a source for each."""
        for name, documents in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text("\n\n".join(documents) + "\n", encoding="utf-8")
        return [{"kind": "text", "path": str(self.folder / name), "name": name} for name in files]

    def plan(self, sources: list[dict[str, Any]], **settings: Any) -> dict[str, Step]:
        """Plan a small recipe, with sections of it replaced key by key."""
        tree: dict[str, Any] = {**SMALL, **settings}
        tree = {
            name: {**SMALL[name], **tree[name]} if isinstance(tree[name], dict) and name in SMALL else tree[name]
            for name in tree
        }
        tree["corpus"] = {**tree["corpus"], "sources": sources}
        steps = plan(Recipe.model_validate(tree), Digests(self.store.root / "digests.jsonl").describe, self.store.get)
        return {step.name: step for step in steps}

    def make(self, step: Step) -> Artifact:
        """Make a step after those it needs."""
        for needed in step.inputs.values():
            self.make(needed)
        run = Run(country="FRA")
        return materialize(step, self.store, InTurn(), Unrecorded(), Quiet(), run)[0]

    def pieces(self, label: str) -> dict[str, tuple[int, int]]:
        """List the finished pieces of a stage; a piece made again has another inode or time."""
        notes = self.store.root.glob(f"pieces/{label}/*/piece.json")
        return {note.parent.name: (note.stat().st_ino, note.stat().st_mtime_ns) for note in notes}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "texts", Store(tmp_path / "store").open())


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A folder as from the Hub: a tiny encoder over letters, of 48 positions."""
    from pipeline.model import huggingface
    from pipeline.model.heads import Learner
    from pipeline.model.shape import Shape

    folder, shape = tmp_path / "bert", Shape(1, 16, 2, vocab_size=len(PIECES), max_positions=48)
    huggingface.save(folder, shape, dict(Learner(shape, {}).named_parameters()))
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def news() -> list[str]:
    """Three hundred news articles (Lee, Pincombe and Welsh 2005), one a line."""
    path = locate(NEWS)
    if not path.is_file():
        pytest.skip("the sample files are not installed: pip install 'pretrace[sample]'")
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def files_of(artifact: Artifact) -> dict[str, str]:
    """Give the digest of each file of an artifact."""
    return {entry["name"]: entry["sha256"] for entry in artifact.manifest["files"]}
