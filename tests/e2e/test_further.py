"""Pretraining that goes on from a model: with its tokenizer, from its weights, and a task begun from what comes out."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.core.store import Artifact, Store
from tests.e2e.conftest import Pretrace, Project

STEPS = 20


@pytest.fixture(scope="module")
def store(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a store in which a model was made."""
    target = tmp_path_factory.mktemp("further") / "store"
    shutil.copytree(undisturbed, target, ignore=shutil.ignore_patterns("mlflow*", "ray"))
    return target


def test_a_model_reads_on_where_another_ended(pretrace: Pretrace, project: Project, store: Path) -> None:
    (before,) = Store(store).all("pretrain")
    made = {artifact.key for artifact in Store(store).all()}
    settings = (f"recipe.pretrain.init=pretrain/{before.key}", f"recipe.phases.0.steps={STEPS}")
    done = pretrace("run", project.config, f"run.store={store}", "run.ranks=1", *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    new = {artifact.label: artifact for artifact in Store(store).all() if artifact.key not in made}
    assert set(new) == {"pretrain", "finetune"}  # corpus, tokenizer and examples were there
    model, tuned = new["pretrain"], new["finetune"]
    assert model.manifest["inputs"]["init"] == f"pretrain/{before.key}"
    assert model.manifest["inputs"]["tokenizer"] == before.manifest["inputs"]["tokenizer"]
    assert tuned.manifest["inputs"]["pretrain"] == f"pretrain/{model.key}"
    ended, began = (_losses(artifact) for artifact in (before, model))
    assert sum(began[:5]) < sum(ended[:5]) - 1.0  # nats: its first steps know what the other's last ones did
    assert pretrace("audit", f"finetune/{tuned.key}", "--store", store).returncode == 0


def _losses(model: Artifact) -> list[float]:
    rows: list[dict[str, Any]] = pq.read_table(model.file("curve.parquet")).to_pylist()
    return [row["mlm_loss"] for row in rows]
