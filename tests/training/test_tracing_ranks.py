"""What `pipeline.trace` tells of each document, held against what ranks wrote down that they were fed."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.planning import plan_in
from pipeline.config import load
from pipeline.core.arrow import read_rows
from pipeline.core.progress import Quiet
from pipeline.core.stage import materialize
from pipeline.core.store import Artifact, Store
from pipeline.trace import Traced, trace
from pipeline.training.order import Order
from tests.core.places import InTurn, Unrecorded
from tests.training import one_rank
from tests.training.conftest import Launch

pytestmark = pytest.mark.slow

TEXTS = [
    " ".join(f"Text {number} tells of {thing} and of {number * number} walnuts." for thing in things)
    for number in range(30)
    for things in [("apples", "pears", "plums", "cherries", "figs", "grapes", "dates")[: 2 + number % 6]]
]
RECIPE = {
    "corpus": {"shards": 3, "near_duplicates": {"mode": "keep"}, "cleaning": {"minimum_words": 1}},
    "tokenizer": {"vocab_size": 300, "algorithm": "bpe"},
    "examples": {"held_out_fraction": 0.15, "shards": 3},
    "model": {"size": "tiny", "layers": 1, "width": 32, "max_positions": 64, "dropout": 0.0},
    "phases": [
        {"sequence_length": 32, "steps": 14, "global_batch": 24, "first_batch": 5, "batch_warmup_steps": 6},
        {"sequence_length": 64, "steps": 7, "global_batch": 16},
    ],
}
BAD_STEP = 6
Seen = Counter[tuple[int, tuple[int, ...]]]
"""How often an example, told by its tokens, was seen at a step."""


@dataclass(frozen=True)
class OnRanks(InTurn):
    """Trains on real ranks that write down what they are fed, and go back once."""

    launch: Launch
    ranks: int
    noted: Path

    def gang(self, entry: str, order: Path, watch: Callable[[], None]) -> None:
        trials = [partial(one_rank.note_what_is_fed, self.noted), partial(one_rank.spoil_gradient, BAD_STEP)]
        assert self.launch(Order.read(order), self.ranks, trials=trials).well()


@pytest.mark.parametrize("ranks", [1, 2])
def test_of_every_document_the_steps_told_are_those_at_which_ranks_were_fed_it(
    ranks: int, launch: Launch, tmp_path: Path
) -> None:
    (tmp_path / "noted").mkdir()
    made = _make(tmp_path, OnRanks(launch, ranks, tmp_path / "noted"))
    store, model = Store(tmp_path / "store"), made["pretrain"]
    assert model.manifest["facts"]["skipped_batches"] == [{"phase": 0, "batch": BAD_STEP - 1}]
    fed = dict(_fed(tmp_path / "noted", made))
    documents = [
        row | {"shard": at} for at, path in enumerate(_files(made["corpus"], "documents")) for row in read_rows(path)
    ]
    assert len(documents) == len(TEXTS)
    held_out = 0
    for document in documents:
        (told,) = trace(store, document["id"], model.key).documents
        assert (told.found_by, told.row.id) == ("id", document["id"])
        assert _told(store, told) == fed.pop(document["id"], Counter())
        held_out += told.models[0].held_out
    assert not fed
    assert 0 < held_out < len(documents) / 2
    assert {epoch for _, epoch in _epochs(store, model, documents)} >= {(0, 3), (1, 2)}


def _make(folder: Path, place: OnRanks) -> dict[str, Artifact]:
    (folder / "texts.txt").write_text("\n\n".join(TEXTS))
    source = {"kind": "text", "path": str(folder / "texts.txt")}
    recipe = {**RECIPE, "corpus": {**RECIPE["corpus"], "sources": [source]}}  # type: ignore[dict-item]
    run = {"store": str(folder / "store"), "checkpoint_steps": 4, "micro_batch": 8}
    (folder / "c.yaml").write_text(yaml.safe_dump({"recipe": recipe, "run": run}))
    tree = load([folder / "c.yaml"])
    store = Store(folder / "store").open()
    steps = plan_in(store, tree.recipe)
    return {step.name: materialize(step, store, place, Unrecorded(), Quiet(), tree.run)[0] for step in steps}


def _files(artifact: Artifact, folder: str) -> list[Path]:
    return [artifact.file(name) for name in artifact.names(folder)]


def _fed(noted: Path, made: dict[str, Artifact]) -> Iterator[tuple[str, Seen]]:
    """Yield what ranks wrote down of each document."""
    names = [[row["id"] for row in read_rows(path)] for path in _files(made["corpus"], "documents")]
    examples = [
        [row for path in _files(made[f"examples-{length}"], "train") for row in read_rows(path)] for length in (32, 64)
    ]
    seen: dict[str, Seen] = {}
    for line in (line for path in noted.iterdir() for line in _kept(path)):
        example = examples[line["step"] > 14][line["row"]]
        for at, label in zip(line["where"], line["labels"], strict=True):
            line["ids"][at] = label  # what was hidden
        assert line["ids"] == example["ids"]
        for row in example["rows"]:
            name = names[example["shard"]][row]
            seen.setdefault(name, Counter())[line["step"], tuple(line["ids"])] += 1
    yield from seen.items()


def _kept(noted: Path) -> list[dict[str, Any]]:
    """Read what a rank wrote down, without the steps that it went back past."""
    lines: list[dict[str, Any]] = []
    for line in map(json.loads, noted.read_text().splitlines()):
        if lines and line["step"] < lines[-1]["step"]:
            lines = [earlier for earlier in lines if earlier["step"] < line["step"]]
        lines.append(line)
    return lines


def _told(store: Store, traced: Traced) -> Seen:
    """Say the same of what was traced."""
    told: Seen = Counter()
    (model,) = traced.models
    for phase in model.phases:
        for example in phase.examples:
            ids = list(read_rows(store.root / phase.artifact / example.file))[example.row]["ids"]
            told.update((step, tuple(ids)) for step in example.steps)
    return told


def _epochs(store: Store, model: Artifact, documents: list[dict[str, Any]]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the phase and epoch of every step that saw a document."""
    for document in documents:
        for phase in trace(store, document["id"], model.key).documents[0].models[0].phases:
            for example in phase.examples:
                assert len(set(example.epochs)) == len(example.epochs)  # once in each
                yield from (
                    (step, (phase.phase, epoch)) for step, epoch in zip(example.steps, example.epochs, strict=True)
                )
