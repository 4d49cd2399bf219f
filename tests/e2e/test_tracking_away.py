"""A real MLflow server that goes away while a model trains and comes back: nothing stops, nothing is lost or doubled."""

import contextlib
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.core.files import read_json
from pipeline.core.store import Store
from pipeline.training.journal import last_step
from tests.conftest import BIN, free_port, kill_tree
from tests.e2e.conftest import Pretrace, Project

LIMIT_SECONDS = 240
STEPS = 1500
"""Enough to train on while a server starts."""
BEFORE, WITHOUT = 100, 300
"""Steps with the server before it goes, and without it."""


class Server:
    """An MLflow server on a port of its own that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        database = f"sqlite:///{self._folder / 'mlflow.db'}"
        command = [BIN / "mlflow", "server", "--backend-store-uri", database, "--artifacts-destination", self._folder]
        command += ["--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        wait_until(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            kill_tree(self._process)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def store(undisturbed: Path, tmp_path: Path) -> Path:
    """A store in which the data are made and no model is."""
    target = tmp_path / "store"
    shutil.copytree(undisturbed, target, ignore=shutil.ignore_patterns("pretrain", "finetune", "mlflow*", "ray"))
    return target


@pytest.mark.slow
def test_training_goes_on_and_every_figure_arrives_once(
    pretrace: Pretrace, project: Project, store: Path, server: Server, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    server.start()
    command = Pretrace(pretrace.env, server.url)
    settings = ("--until", "pretrain", f"run.store={store}", f"recipe.phases.0.steps={STEPS}", "run.ranks=1")
    running = command.start("run", project.config, *settings, log=tmp_path / "run.log")
    try:
        wait_until(lambda: _steps(store) > BEFORE)
        server.stop()
        gone = _steps(store)
        wait_until(lambda: _steps(store) > gone + WITHOUT)
        server.start()
        assert running.wait(LIMIT_SECONDS) == 0, (tmp_path / "run.log").read_text()
    finally:
        kill_tree(running)
    (model,) = Store(store).all("pretrain")
    assert model.settled
    client, run_id = MlflowClient(tracking_uri=server.url), model.manifest["made"]["tracking"]["run_id"]
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
