"""A rank of a real run killed, then the run itself asked to stop: the same command goes on to the same bytes."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline.core.errors import Interrupted
from pipeline.core.store import WORK, Store
from tests.conftest import kill_tree
from tests.e2e.conftest import Pretrace, Project

STEPS = "/120 steps"
TOLD = re.compile(r"pretrace: interrupted( after step \d+)?; run the same command again to go on")
"""Without a step where the machine was too busy for ranks to make one in the time that they are given."""
PATIENCE_SECONDS = 300

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def _wait(run: subprocess.Popen[bytes], log: Path, until: Callable[[], object]) -> None:
    patience = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert run.poll() is None, log.read_text()
        assert time.monotonic() < patience, log.read_text()
        time.sleep(0.05)


def _resumed(work: Path) -> list[int]:
    return [json.loads(line)["resumed_at_step"] for line in (work / "attempts.jsonl").read_text().splitlines()]


def _kill_a_rank(run: subprocess.Popen[bytes]) -> None:
    ranks = [
        process
        for process in psutil.Process(run.pid).children(recursive=True)
        if any("RayTrainWorker" in part for part in process.cmdline())
    ]
    assert len(ranks) == 2
    ranks[1].kill()


def test_a_run_whose_rank_is_killed_and_that_is_asked_to_stop_ends_as_an_undisturbed_one(
    pretrace: Pretrace, project: Project, undisturbed: Path, tmp_path: Path
) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    shutil.copytree(undisturbed, store, symlinks=True)
    step = next(step for step in project.steps(store) if step.name == "pretrain")
    folder = Store(store).folder(step)
    shutil.rmtree(folder)
    arguments = ("run", project.config, f"run.store={store}", "--until", "pretrain")
    run = pretrace.start(*arguments, log=log)
    try:
        _wait(run, log, lambda: list((folder / WORK / "checkpoints").glob("step-*")))
        _kill_a_rank(run)
        _wait(run, log, lambda: "attempt 1 of" in log.read_text() and STEPS in log.read_text())
        run.send_signal(signal.SIGTERM)
        assert run.wait(PATIENCE_SECONDS) == Interrupted.exit_code, log.read_text()
    finally:
        kill_tree(run)
    told = log.read_text()
    assert TOLD.fullmatch(told.splitlines()[-1]), told
    assert "Traceback" not in told
    assert _resumed(folder / WORK)[0] == 0
    done = pretrace(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    made = Store(store).find(step)
    assert made is not None
    assert made.manifest["made"]["attempts"] == 2
    assert project.files(store)["pretrain"] == project.files(undisturbed)["pretrain"] != {}
