"""Fine-tuning through the same loop."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers
from numpy.random import Generator

from pipeline.core.arrow import read_table, write_table
from pipeline.core.errors import DataError
from pipeline.core.files import sha256_of
from pipeline.model.encoder import initialize
from pipeline.model.heads import Learner
from pipeline.tables import encoded_schema
from pipeline.tasks.task import Kind
from pipeline.training.batches import Loader
from pipeline.training.jobs import job_of
from pipeline.training.order import Asked, Optimizer, Order, Schedule, Tuning
from tests.training.conftest import VOCABULARY, Launch, Undisturbed, curve, moved, without_dropout

pytestmark = pytest.mark.slow

CLS = 2
LABELS = ("low", "mid", "high")
CHOICES = 3
CPU = torch.device("cpu")
Sequence = dict[str, Any]


def _classify(draw: Generator) -> list[Sequence]:
    """Make a row of words that no other class has."""
    label = int(draw.integers(3))
    return [{"ids": _words(draw, label), "label": label}]


def _regress(draw: Generator) -> list[Sequence]:
    label = int(draw.integers(3))
    return [{"ids": _words(draw, label), "label": float(label)}]


def _choose(draw: Generator) -> list[Sequence]:
    """Make three rows, one of them of high words."""
    right = int(draw.integers(CHOICES))
    return [{"ids": _words(draw, 2 if at == right else 0), "label": right} for at in range(CHOICES)]


def _span(draw: Generator) -> list[Sequence]:
    """Make a row of low words with a run of high ones in it."""
    ids = _words(draw, 0)
    start, length = int(draw.integers(1, len(ids) - 3)), int(draw.integers(1, 4))
    ids[start : start + length] = 17
    return [{"ids": ids, "start": start, "end": start + length - 1, "offsets": [-1] * 2 * len(ids)}]


def _tag(draw: Generator) -> list[Sequence]:
    """Make a row in which every second piece continues a word."""
    ids = _words(draw, 0)
    classes = draw.integers(3, size=len(ids))
    ids[1:] = 5 + 6 * classes[1:] + draw.integers(6, size=len(ids) - 1)
    labels = np.where(np.arange(len(ids)) % 2 == 1, classes, -1)
    return [{"ids": ids, "labels": labels}]


MAKERS: dict[Kind, Callable[[Generator], list[Sequence]]] = {
    "classify": _classify, "regress": _regress, "choose": _choose, "span": _span, "tag": _tag,
}  # fmt: skip


def _words(draw: Generator, label: int) -> Any:
    ids = 5 + 6 * label + draw.integers(6, size=int(draw.integers(5, 12)))
    ids[0] = CLS
    return ids


def write_split(path: Path, kind: Kind, units: int, seed: int, *, labels: bool = True) -> str:
    """Write made-up rows or questions."""
    draw = np.random.default_rng(seed)
    made = [row for _ in range(units) for row in MAKERS[kind](draw)]
    for at, row in enumerate(made):
        row |= {"second_at": len(row["ids"]), "row": at} | ({} if labels else {"label": -1})
    return written(path, kind, made)


def written(path: Path, kind: Kind, rows: list[Sequence]) -> str:
    """Write rows as the stage does."""
    write_table(path, pa.Table.from_pylist(rows, schema=encoded_schema(kind, VOCABULARY)), codec=None)
    return str(path)


def tuning_of(kind: Kind, folder: Path) -> Tuning:
    """Seven epochs over 45 rows in batches of 8: the last batch holds 3."""
    dev = write_split(folder / "dev.arrow", kind, 21, 1)
    return Tuning(
        kind=kind,
        train=write_split(folder / "train.arrow", kind, 45, 0),
        dev=dev,
        predicted=(Asked("dev", dev),),
        labels=LABELS if kind in ("classify", "tag") else (),
        choices=CHOICES if kind == "choose" else 1,
        epochs=7,
        batch=8,
    )


@pytest.fixture
def tuned(order: Order, tmp_path: Path) -> Callable[[Kind], Order]:
    """Make an order to fine-tune on a task of some kind."""

    def tuned(kind: Kind) -> Order:
        return replace(
            order, job="finetune", tuning=tuning_of(kind, tmp_path), objectives=(), phases=(), masking=None,
            evaluate_every=None, optimizer=Optimizer(learning_rate=5e-3), schedule=Schedule(2),
        )  # fmt: skip

    return tuned


@pytest.fixture
def tuning(tuned: Callable[[Kind], Order], tmp_path: Path) -> Order:
    """An order to tell three classes apart, with a test set that has no labels."""
    order = tuned("classify")
    assert order.tuning is not None
    test = Asked("test", write_split(tmp_path / "test.arrow", "classify", 10, 2, labels=False))
    return replace(order, tuning=replace(order.tuning, predicted=(*order.tuning.predicted, test)))


def predicted(order: Order, split: str = "dev") -> dict[str, list[Any]]:
    """Read what a finished order predicts."""
    table = read_table(Path(order.work) / f"predicted-{split}.arrow")
    return dict(table.to_pydict())


def test_it_learns_and_writes_predictions_and_weights(tuning: Order, launch: Launch, tmp_path: Path) -> None:
    assert launch(tuning, 2).well()
    assert len(curve(tuning)) == 40  # 315 rows in eights
    out = Path(tuning.out)
    result = json.loads((out / "result.json").read_text())
    assert result["sequences"] == 315
    labels = read_table(tmp_path / "dev.arrow")["label"].to_pylist()
    right = [label == found for label, found in zip(labels, predicted(tuning)["predicted"], strict=True)]
    assert result["held_out_classify_accuracy"] == pytest.approx(sum(right) / len(right))
    assert result["held_out_classify_accuracy"] > 0.8
    blind = predicted(tuning, "test")
    assert len(blind["predicted"]) == 10
    assert all(sum(row) == pytest.approx(1.0) for row in blind["probabilities"])
    model = transformers.BertForSequenceClassification.from_pretrained(out)
    assert model.config.num_labels == 3


@pytest.mark.parametrize("kind", get_args(Kind))
def test_neither_ranks_nor_micro_batches_nor_packing_change_a_step(kind: Kind, tuned: Callable[[Kind], Order]) -> None:
    order = without_dropout(tuned(kind))
    job = job_of(order)
    learner = Learner(order.shape, job.objectives)
    initialize(learner, order.shape, seed=1)
    stretch = job.stretches[0]
    taken = stretch.sampler.take(39)  # the last: three of eight
    seen = []
    for ranks, micro_batch, packed in ((1, 32, False), (1, 32, True), (2, 3, True), (4, 1, False), (4, 1, True)):
        learner.zero_grad()
        loaders = [
            Loader(stretch.rows, stretch.masks, rank, ranks, micro_batch, CPU, packed=packed) for rank in range(ranks)
        ]
        parts = [part for loader in loaders for part in loader.load(*taken)]
        count = sum(part.counts()[job.objectives[kind].per] for part in parts)
        sums = [learner(part)[kind] for part in parts]
        assert count == sum(int(terms[1]) for terms in sums) > 0
        loss = torch.stack([terms[0] for terms in sums]).sum() / count
        loss.backward()
        seen.append((loss.detach(), {name: one.grad for name, one in learner.named_parameters()}))
    for loss, gradients in seen[1:]:
        torch.testing.assert_close(loss, seen[0][0])
        torch.testing.assert_close(gradients, seen[0][1], atol=1e-6, rtol=1e-4)


def test_a_killed_run_resumes_to_the_same_bytes(tuning: Order, launch: Launch, tmp_path: Path) -> None:
    undisturbed, killed = moved(tuning, tmp_path / "a"), moved(tuning, tmp_path / "b")
    assert launch(undisturbed).well()
    assert launch(killed, death=("pipeline.training.zero.Engine.update", 12)).exit_codes == [-9]
    assert launch(killed, death=("pipeline.training.predictions._predict", 2)).exit_codes == [-9]
    first = Path(killed.work) / "predicted-dev.arrow"
    made = first.stat().st_mtime_ns
    assert launch(killed).well()
    assert first.stat().st_mtime_ns == made  # it was not asked again
    for name in ("model.safetensors", "curve.parquet", "result.json"):
        assert sha256_of(Path(killed.out) / name) == sha256_of(Path(undisturbed.out) / name)
    for split in ("dev", "test"):
        assert predicted(killed, split) == predicted(undisturbed, split)


def test_it_starts_from_pretrained_weights(
    order: Order, tuning: Order, launch: Launch, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    pretrained = undisturbed(order)
    frozen = replace(moved(tuning, tmp_path / "tuned"), init=pretrained.out, optimizer=Optimizer(learning_rate=0.0))
    assert launch(frozen).well()
    before, after = (transformers.BertModel.from_pretrained(one.out).state_dict() for one in (pretrained, frozen))
    for name, tensor in before.items():
        assert tensor.equal(after[name]), name
    assert before["embeddings.word_embeddings.weight"].shape == (VOCABULARY, 32)
    assert isinstance(before["embeddings.word_embeddings.weight"], torch.Tensor)


def test_labels_beyond_the_classes_are_refused(tuning: Order) -> None:
    assert tuning.tuning is not None
    fewer = replace(tuning, tuning=replace(tuning.tuning, labels=("a", "b")))
    with pytest.raises(DataError, match=r"train\.arrow: label 2, expected 0 to 1 as order\.tuning has it"):
        job_of(fewer)


@pytest.mark.parametrize(
    ("kind", "rows", "complaint"),
    [
        ("classify", [{"label": 1}, {"label": -2}], r"odd\.arrow: label -2, expected 0 to 2"),
        ("choose", [{"label": 3}] * 3, r"odd\.arrow: label 3, expected 0 to 2"),
        ("choose", [{"label": 0}] * 4, r"odd\.arrow: has 4 rows, expected a multiple of 3"),
        ("tag", [{"labels": [-1, 3]}], r"odd\.arrow: label 3, expected 0 to 2"),
        ("tag", [{"labels": [-1, -1]}], r"odd\.arrow: no row has a label"),
        ("regress", [{"label": float("nan")}], r"odd\.arrow: no row has a label"),
        ("span", [{"start": 1, "end": 0, "offsets": []}], r"odd\.arrow: row 0 has its answer at 1 to 0, outside of it"),
        ("span", [{"start": 0, "end": 2, "offsets": []}], r"odd\.arrow: row 0 has its answer at 0 to 2, outside of it"),
    ],
)
def test_labels_that_cannot_be_are_named(
    kind: Kind, rows: list[Sequence], complaint: str, tuned: Callable[[Kind], Order], tmp_path: Path
) -> None:
    order = tuned(kind)
    assert order.tuning is not None
    odd = [row | {"ids": [CLS, 5], "second_at": 2, "row": at} for at, row in enumerate(rows)]
    train = written(tmp_path / "odd.arrow", kind, odd)
    with pytest.raises(DataError, match=complaint):
        job_of(replace(order, tuning=replace(order.tuning, train=train)))


def test_a_table_without_labels_cannot_be_trained_on(tuning: Order) -> None:
    assert tuning.tuning is not None
    blind = replace(tuning, tuning=replace(tuning.tuning, train=tuning.tuning.predicted[1].path))
    with pytest.raises(DataError, match=r"test\.arrow: no row has a label"):
        job_of(blind)
