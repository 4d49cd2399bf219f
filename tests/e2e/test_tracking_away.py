"""A real MLflow server that is away while a model trains and comes back: nothing stops, nothing is lost or doubled."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.files import read_json
from pipeline.core.store import Store
from pipeline.training.journal import last_step
from tests.conftest import BIN
from tests.e2e.conftest import Pretrace, Project
from tests.e2e.line import Line
from tests.processes import PATIENCE_SECONDS, free_port, kill_tree, until, wait_for_answer

STEPS = 400
BEFORE, WITHOUT = 40, 120
"""Steps with the server before it goes, and without it."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """An MLflow server on a port of its own."""
    port, log = free_port(), tmp_path / "server.log"
    command = [BIN / "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path / 'mlflow.db'}"]
    command += ["--artifacts-destination", tmp_path, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with log.open("wb") as out, subprocess.Popen(command, env=env, stdout=out, stderr=out) as process:
        try:
            wait_for_answer(process, f"http://127.0.0.1:{port}/health", log)
            yield port
        finally:
            kill_tree(process)


@pytest.fixture
def store(undisturbed: Path, tmp_path: Path) -> Path:
    """A store in which the data are made and no model is."""
    target = tmp_path / "store"
    shutil.copytree(undisturbed, target, ignore=shutil.ignore_patterns("pretrain", "finetune", "mlflow*", "ray"))
    return target


@pytest.mark.slow
def test_training_goes_on_and_every_figure_arrives_once(
    pretrace: Pretrace, project: Project, store: Path, server: int, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    log = tmp_path / "run.log"
    settings = ("--until", "pretrain", f"run.store={store}", f"recipe.phases.0.steps={STEPS}", "run.ranks=1")
    with Line(server) as line:
        running = Pretrace(pretrace.env, line.url).start("run", project.config, *settings, log=log)
        try:
            until(lambda: _steps(store) > BEFORE, "training", why=log.read_text)
            line.cut()
            gone = _steps(store)
            until(lambda: _steps(store) > min(gone + WITHOUT, STEPS - 1), "training without", why=log.read_text)
            line.mend()
            assert running.wait(PATIENCE_SECONDS) == 0, log.read_text()
        finally:
            kill_tree(running)
    (model,) = Store(store).all("pretrain")
    assert model.settled
    client = MlflowClient(tracking_uri=f"http://127.0.0.1:{server}")
    run_id = model.manifest["made"]["tracking"]["run_id"]
    for name in ("loss", "gradient_norm", "tokens_per_second"):
        points = client.get_metric_history(run_id, name)
        assert [point.step for point in points] == list(range(1, STEPS + 1)), name
    assert client.get_run(run_id).info.status == "FINISHED"


def _steps(store: Path) -> int:
    """Count the steps that the ranks have taken."""
    journals = list(store.glob("pretrain/*/.work/curve.jsonl"))
    if not journals:
        notes = list(store.glob("pretrain/*/manifest.json"))
        return int(read_json(notes[0])["facts"]["steps"]) if notes else 0
    return last_step(journals[0])
