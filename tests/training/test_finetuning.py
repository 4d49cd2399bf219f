"""Fine-tuning through the same loop."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import transformers

from pipeline.core.arrow import write_table
from pipeline.core.errors import DataError
from pipeline.core.files import sha256_of
from pipeline.training.jobs import job_of
from pipeline.training.order import Classification, Optimizer, Order, Schedule
from tests.training.conftest import VOCABULARY, Launch, Undisturbed, curve, moved

pytestmark = pytest.mark.slow


def _table(path: Path, rows: int, seed: int, *, labels: bool = True) -> str:
    """Write rows of six words that no other class has."""
    draw = np.random.default_rng(seed)
    table = []
    for _ in range(rows):
        label, length = int(draw.integers(3)), int(draw.integers(5, 12))
        ids = 5 + 6 * label + draw.integers(6, size=length)
        ids[0] = 2
        table.append({"ids": ids, "second_at": length, "label": label if labels else -1})
    return _written(path, table)


def _written(path: Path, table: list[dict[str, Any]]) -> str:
    schema = pa.schema({"ids": pa.list_(pa.uint16()), "second_at": pa.uint16(), "label": pa.int32()})
    write_table(path, pa.Table.from_pylist(table, schema=schema), codec=None)
    return str(path)


@pytest.fixture
def tuning(order: Order, tmp_path: Path) -> Order:
    """Seven epochs over 45 rows in batches of 8: the last batch holds 3."""
    table = Classification(
        train=_table(tmp_path / "train.arrow", 45, 0),
        dev=_table(tmp_path / "dev.arrow", 21, 1),
        test=_table(tmp_path / "test.arrow", 10, 2, labels=False),
        classes=3,
        epochs=7,
        batch=8,
    )
    return replace(
        order, job="finetune", classification=table, objectives=(), phases=(), masking=None, evaluate_every=None,
        optimizer=Optimizer(learning_rate=5e-3), schedule=Schedule(2),
    )  # fmt: skip


def test_it_learns_and_writes_scores_predictions_and_weights(tuning: Order, launch: Launch, tmp_path: Path) -> None:
    assert launch(tuning, 2).well()
    assert len(curve(tuning)) == 40  # 315 rows in eights
    out = Path(tuning.out)
    result = json.loads((out / "result.json").read_text())
    assert result["sequences"] == 315
    table = pq.read_table(out / "predictions.parquet").to_pydict()
    dev = [at for at, split in enumerate(table["split"]) if split == "dev"]
    right = [table["label"][at] == table["predicted"][at] for at in dev]
    assert len(dev) == 21
    assert result["held_out_classification_accuracy"] == pytest.approx(sum(right) / len(right))
    assert result["held_out_classification_accuracy"] > 0.8
    assert set(table["label"][21:]) == {-1}
    assert all(sum(row) == pytest.approx(1.0) for row in table["probabilities"])
    model = transformers.BertForSequenceClassification.from_pretrained(out)
    assert model.config.num_labels == 3


def test_a_killed_run_resumes_to_the_same_bytes(tuning: Order, launch: Launch, tmp_path: Path) -> None:
    undisturbed, killed = moved(tuning, tmp_path / "a"), moved(tuning, tmp_path / "b")
    assert launch(undisturbed).well()
    assert launch(killed, death=("pipeline.training.zero.Engine.update", 12)).exit_codes == [-9]
    assert launch(killed).well()
    for name in ("model.safetensors", "predictions.parquet", "curve.parquet", "result.json"):
        assert sha256_of(Path(killed.out) / name) == sha256_of(Path(undisturbed.out) / name)


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


def test_labels_beyond_the_classes_are_refused(tuning: Order) -> None:
    assert tuning.classification is not None
    fewer = replace(tuning, classification=replace(tuning.classification, classes=2))
    with pytest.raises(DataError, match=r"train\.arrow: label 2 with order\.classification\.classes=2"):
        job_of(fewer)


def test_a_label_below_zero_is_named(tuning: Order, tmp_path: Path) -> None:
    assert tuning.classification is not None
    path = _written(tmp_path / "odd.arrow", [{"ids": [2, 5], "second_at": 2, "label": label} for label in (1, -2)])
    odd = replace(tuning, classification=replace(tuning.classification, train=path))
    with pytest.raises(DataError, match=r"odd\.arrow: label -2 with order\.classification\.classes=3"):
        job_of(odd)


def test_a_table_without_labels_cannot_be_trained_on(tuning: Order) -> None:
    assert tuning.classification is not None
    assert tuning.classification.test is not None
    blind = replace(tuning, classification=replace(tuning.classification, train=tuning.classification.test))
    with pytest.raises(DataError, match=r"test\.arrow: no row has a label"):
        job_of(blind)
