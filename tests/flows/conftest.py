"""A small store in which the data stages are made and a model stands in: what the commands show."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.cli import main
from flows.planning import plan_in
from pipeline.config import PipelineConfig, load
from pipeline.core.progress import Quiet
from pipeline.core.stage import Step, materialize
from pipeline.core.store import Artifact, Store
from tests.core.places import InTurn, Unrecorded

TEXTS = [
    f"Text number {number} tells of apples, pears, plums and {number * number} cherries. Nobody counted the walnuts there."
    for number in range(40)
]
RECIPE = {
    "corpus": {"shards": 2},
    "tokenizer": {"vocab_size": 300, "algorithm": "bpe"},
    "model": {"max_positions": 64},
    "phases": [{"sequence_length": 32, "steps": 1, "global_batch": 2}],
    "examples": {"held_out_fraction": 0.1},
}
MADE = {"at": "2026-01-01T00:00:00+00:00", "energy_kwh": 0.001, "emissions_kg": 0.0005, "duration_s": 61.0}


@dataclass(frozen=True)
class Shop:
    """A config file, and the store that it names."""

    config: Path
    store: Store

    def load(self, *overrides: str) -> PipelineConfig:
        return load([self.config], overrides)

    def step(self, name: str, *overrides: str) -> Step:
        return next(step for step in plan_in(self.store, self.load(*overrides).recipe) if step.name == name)

    def make(self, name: str) -> Artifact:
        """Make a step of the data stages."""
        step = self.step(name)
        return materialize(step, self.store, InTurn(), Unrecorded(), Quiet(), self.load().run)[0]

    def pretend(self, name: str, files: dict[str, str], facts: dict[str, Any], *overrides: str) -> Artifact:
        """Commit files as what a step made."""
        step = self.step(name, *overrides)
        with self.store.making(step) as draft:
            for file, text in files.items():
                (draft / file).write_text(text)
            read = {role: [str(file.path) for file in files] for role, files in step.sources.items()}
            artifact = self.store.commit(step, facts, MADE | {"sources": read})
            self.store.tidy(artifact)
            return artifact


def shop_in(folder: Path) -> Shop:
    """Open a shop of some texts in a folder."""
    (folder / "texts.txt").write_text("\n\n".join(TEXTS))
    source = {"kind": "text", "path": str(folder / "texts.txt")}
    tree = {"recipe": {**RECIPE, "corpus": {**RECIPE["corpus"], "sources": [source]}}}  # type: ignore[dict-item]
    (folder / "c.yaml").write_text(yaml.safe_dump({**tree, "run": {"store": str(folder / "store")}}))
    return Shop(folder / "c.yaml", Store(folder / "store").open())


def bert_in(folder: Path) -> Path:
    """Make a folder that says it holds a BERT of 48 positions; its weights are none."""
    folder.mkdir()
    sizes = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 64}
    config = {"model_type": "bert", "vocab_size": 5, "max_position_embeddings": 48, **sizes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return shop_in(tmp_path)


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def pretrace(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: object) -> Said:
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *capsys.readouterr())

    return command
