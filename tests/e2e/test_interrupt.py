"""A rank of a real run killed, then the run itself asked to stop: the same command goes on to the same bytes."""

import json
import re
import shutil
import signal
from pathlib import Path

import pytest

from pipeline.core.errors import Interrupted
from pipeline.core.store import WORK, Store
from tests.e2e.conftest import Pretrace, Project
from tests.processes import PATIENCE_SECONDS, below, kill, kill_tree, until, wait_for_line

TOLD = re.compile(r"pretrace: interrupted( after step \d+)?; run the same command again to go on")
"""Without a step where the machine was too busy for ranks to make one in the time that they are given."""
OFTEN = "run.checkpoint_steps=3"
"""Slows training down, so that it is not over before its rank is killed."""

pytestmark = pytest.mark.slow


def _resumed(work: Path) -> list[int]:
    return [json.loads(line)["resumed_at_step"] for line in (work / "attempts.jsonl").read_text().splitlines()]


def test_a_run_whose_rank_is_killed_and_that_is_asked_to_stop_ends_as_an_undisturbed_one(
    pretrace: Pretrace, project: Project, undisturbed: Path, tmp_path: Path
) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    shutil.copytree(undisturbed, store, symlinks=True)
    step = next(step for step in project.steps(store) if step.name == "pretrain")
    folder = Store(store).folder(step)
    shutil.rmtree(folder)
    arguments = ("run", project.config, f"run.store={store}", "--until", "pretrain", OFTEN)
    run = pretrace.start(*arguments, log=log)
    try:
        until(lambda: list((folder / WORK / "checkpoints").glob("step-*")), "a checkpoint", why=log.read_text)
        kill(below(run.pid, "RayTrainWorker")[1:])
        wait_for_line(run, "attempt 1 of", log)
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
