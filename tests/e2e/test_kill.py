"""Kill -9 of the whole process tree in the middle of each stage, then the same command again.

One store goes through it all: each run is killed in the middle of the next stage, the last one is left alone.
"""

import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.stage import Step
from pipeline.core.store import WORK, Store
from tests.e2e.conftest import Pretrace, Project
from tests.processes import kill_tree

STAGES = ("corpus", "tokenizer", "examples-64", "pretrain", "finetune-polarity")
TRAINED = ("pretrain", "finetune")
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 900
CHECKPOINTS = "run.checkpoint_steps=4"
"""As many as make training last some seconds: it must not be over before it is killed."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Killed:
    """What was there when the tree had been killed in the middle of a stage."""

    pieces: dict[str, tuple[int, int]]  # name -> inode and time of change
    curve: tuple[str, ...]  # lines of the training journal up to the newest checkpoint


@dataclass
class History:
    """A store whose every stage was killed once."""

    store: Path
    log: Path
    steps: list[Step]
    killed: dict[str, Killed] = field(default_factory=dict)
    resumed_curves: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)


def pieces(store: Path, step: Step) -> dict[str, tuple[int, int]]:
    notes = store.glob(f"pieces/{step.label}/*/piece.json")
    return {note.parent.name: (note.stat().st_ino, note.stat().st_mtime_ns) for note in notes}


def checkpoints(store: Path, step: Step) -> list[int]:
    committed = (Store(store).folder(step) / WORK / "checkpoints").glob("step-*/checkpoint.json")
    return sorted(int(note.parent.name.removeprefix("step-")) for note in committed)


def curve(store: Path, step: Step) -> tuple[str, ...]:
    """Give the whole lines of the training journal of a draft."""
    journal = Store(store).folder(step) / WORK / "curve.jsonl"
    with contextlib.suppress(FileNotFoundError):
        return tuple(line for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n"))
    return ()


def is_in_the_middle(store: Path, step: Step) -> bool:
    return len(checkpoints(store, step) if step.label in TRAINED else pieces(store, step)) > 0


def watch(process: subprocess.Popen[bytes], until: Callable[[], bool], look: Callable[[], None]) -> None:
    """Wait for the end of a run or for a moment, looking all the while."""
    patience = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and not until():
        assert time.monotonic() < patience, "the run takes too long"
        look()
        time.sleep(POLL_SECONDS)


@pytest.fixture(scope="module")
def history(pretrace: Pretrace, project: Project, tmp_path_factory: pytest.TempPathFactory) -> History:
    folder = tmp_path_factory.mktemp("killed")
    history = History(folder / "store", folder / "log", project.steps(folder / "store"))
    resumed: Step | None = None
    for step in history.steps:
        with running(pretrace, project, history) as process:
            watch(process, partial(is_in_the_middle, history.store, step), partial(look_at, history, resumed))
        assert is_in_the_middle(history.store, step), f"{step.name}: never begun: {history.log.read_text()}"
        assert Store(history.store).find(step) is None, f"{step.name}: made before the kill"
        history.killed[step.name] = what_is_left(history.store, step)
        resumed = step
    with running(pretrace, project, history) as process:
        watch(process, lambda: False, partial(look_at, history, resumed))
        assert process.wait() == 0, history.log.read_text()
    return history


@contextlib.contextmanager
def running(pretrace: Pretrace, project: Project, history: History) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command; what then still runs of it is killed, all at once."""
    settings = (f"run.store={history.store}", "run.workers=1", CHECKPOINTS, "recipe.name=killed")
    process = pretrace.start("run", project.config, *settings, log=history.log)
    try:
        yield process
    finally:
        kill_tree(process)


def look_at(history: History, resumed: Step | None) -> None:
    """Keep the training journal of the stage that is being resumed: it goes when the stage is made."""
    if resumed and (lines := curve(history.store, resumed)):
        history.resumed_curves[resumed.name] = lines


def what_is_left(store: Path, step: Step) -> Killed:
    newest = max(checkpoints(store, step), default=0)
    return Killed(pieces(store, step), tuple(line for line in curve(store, step) if json.loads(line)["step"] <= newest))


@pytest.fixture(scope="module")
def states(pretrace: Pretrace, history: History) -> list[dict[str, str]]:
    """By run, in their order: the state of each of its Prefect tasks."""
    runs = ask(pretrace, "flow_runs", {"flow_runs": {"name": {"any_": ["killed"]}}, "sort": "START_TIME_ASC"})
    assert len(runs) == len(STAGES) + 1
    wanted = [{"flow_runs": {"id": {"any_": [run["id"]]}}} for run in runs]
    return [{task["name"]: task["state_name"] for task in ask(pretrace, "task_runs", these)} for these in wanted]


def ask(pretrace: Pretrace, what: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"{pretrace.env['PREFECT_API_URL']}/{what}/filter",
        data=json.dumps(query).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_killed_in_the_middle_makes_no_finished_piece_or_step_again(name: str, history: History) -> None:
    killed, step = history.killed[name], history.step(name)
    now = pieces(history.store, step)
    assert {piece: now[piece] for piece in killed.pieces} == killed.pieces
    if step.label in TRAINED:
        resumed = history.resumed_curves[name]
        assert 0 < len(killed.curve) < len(resumed)
        assert resumed[: len(killed.curve)] == killed.curve  # with the very times of the killed attempt
    else:
        assert 0 < len(killed.pieces) < len(now)


@pytest.mark.parametrize("name", STAGES)
def test_what_a_killed_run_ends_with_is_the_same_bytes(
    name: str, history: History, project: Project, undisturbed: Path
) -> None:
    assert project.files(history.store)[name] == project.files(undisturbed)[name] != {}


@pytest.mark.parametrize("name", STAGES)
def test_stages_made_before_are_cached_and_the_killed_one_is_made(name: str, states: list[dict[str, str]]) -> None:
    at = STAGES.index(name)
    assert {stage: states[at + 1][stage] for stage in STAGES[:at]} == dict.fromkeys(STAGES[:at], "Cached")
    assert states[at + 1][name] == "Completed"


def test_the_attempts_that_were_killed_are_paid_for(history: History) -> None:
    for name in STAGES:
        artifact = Store(history.store).find(history.step(name))
        assert artifact is not None
        assert artifact.manifest["made"]["attempts"] == 2


def test_the_last_run_says_what_it_found_and_what_it_made(history: History) -> None:
    rows = [line.split() for line in history.log.read_text().splitlines()]
    told = {row[0]: row[1] for row in rows if len(row) > 2 and row[0] in STAGES and row[1] in ("made", "cached")}
    assert told == {**dict.fromkeys(STAGES[:-1], "cached"), STAGES[-1]: "made"}


def test_mlflow_shows_the_hits_on_the_parent_and_one_run_for_both_attempts(
    history: History, pretrace: Pretrace
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=pretrace.tracking_uri)
    experiment = client.get_experiment_by_name("killed")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    stages = [run for run in runs if "pretrace.key" in run.data.tags]
    parents = [run for run in runs if "pretrace.key" not in run.data.tags]
    assert sorted(run.data.tags["pretrace.key"] for run in stages) == sorted(step.key for step in history.steps)
    assert {run.info.status for run in stages} == {"FINISHED"}
    hits = [{tag for tag in run.data.tags if tag.startswith("pretrace.hit.")} for run in parents]
    assert sorted(map(len, hits)) == list(range(len(STAGES)))[:1] + list(range(len(STAGES)))


def test_no_ray_of_a_killed_run_is_left_to_reap(history: History) -> None:
    assert list((history.store / "ray").glob("ray-*.json")) == []
