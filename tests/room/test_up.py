"""`pretrace up` in a process of its own, worked with as Prefect's page does: over its API.

One store and one run go through it all: it fails, its process is killed, it is cancelled, and is retried each time.
"""

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import yaml

from cluster.services import MARK
from flows.planning import plan_in
from pipeline.config import Recipe
from pipeline.core.store import WORK, Store
from tests.conftest import BIN, free_port, kill_tree
from tests.e2e.conftest import Project

PATIENCE_SECONDS = 300
POLL_SECONDS = 0.1
STEPS = 400
FAULT = 20
FINAL = ("Completed", "Failed", "Crashed", "Cancelled")
DATA = ("corpus", "tokenizer", "examples-64")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class Room:
    """A control room, and what a person does on its page."""

    process: "subprocess.Popen[bytes]"
    store: Path
    port: int

    @property
    def log(self) -> str:
        return (self.store.parent / "log").read_text()

    def call(self, path: str, body: Any = None) -> Any:
        """Ask Prefect's server; it is busy now and then."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api{path}", data=data, headers=headers)
        for _ in range(20):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read() or "null")
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
                time.sleep(1)
        raise AssertionError(f"{path}: the server is busy all the time")

    def start(self, deployment: str, parameters: dict[str, Any]) -> str:
        """Press Run."""
        found = self.call(f"/deployments/name/{deployment}/{deployment}")
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self.call(f"/deployments/{found['id']}/create_flow_run", body)["id"])

    def retry(self, run: str) -> None:
        """Press Retry."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry"}
        assert self.call(f"/flow_runs/{run}/set_state", {"state": state, "force": True})["status"] == "ACCEPT"

    def cancel(self, run: str) -> None:
        """Press Cancel."""
        assert self.call(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})["status"] == "ACCEPT"

    def state(self, run: str) -> tuple[str, str]:
        """Give the name and the message of a run's state."""
        state = self.call(f"/flow_runs/{run}")["state"]
        return str(state["name"]), str(state["message"])

    def ended(self, run: str) -> tuple[str, str]:
        """Wait until a run is over; how it ended."""
        until(lambda: self.state(run)[0] in FINAL)
        return self.state(run)

    def tasks(self, run: str) -> dict[str, set[str]]:
        """By stage: the states in which its task runs are, one for each attempt."""
        found: dict[str, set[str]] = {}
        for task in self.call("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}}):
            found.setdefault(task["name"], set()).add(task["state_name"])
        return found

    def running(self) -> list[psutil.Process]:
        """Find all processes that the room started, and theirs."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == str(self.store) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """Find what belongs to a run: its flow, Ray's servers, workers and ranks."""
        found = []
        for process in self.running():
            with contextlib.suppress(psutil.Error):
                if any("prefect.engine" in part or "ray" in part for part in process.cmdline()):
                    found.append(process)
        return found


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("room")
    port = free_port_of_two()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "RAY_"))}
    command = [BIN / "pretrace", "up", "--store", "store", "--port-base", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    room = Room(process, folder / "store", port)
    try:
        until(lambda: room.process.poll() is not None or room.log.count(": answers") == 3)
        assert room.process.poll() is None, room.log
        yield room
    finally:
        kill_tree(process)
        for left in room.running():
            left.kill()


def free_port_of_two() -> int:
    while True:
        port = free_port()
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port + 1))
            return port


def settings(project: Project) -> dict[str, Any]:
    """Give the parameters that a form would send: a recipe that trains long enough to be caught."""
    tree: dict[str, Any] = yaml.safe_load(project.config.read_text())
    recipe = tree["recipe"]
    recipe |= {"name": "room", "phases": [{**recipe["phases"][0], "steps": STEPS}], "finetune": []}
    recipe["pretrain"] |= {"evaluate_every": STEPS}
    return {"recipe": recipe, "run": {**tree["run"], "fault": f"pretrain:{FAULT}"}}


@dataclass
class History:
    """What happened to one run: how each attempt ended, and where the next one began."""

    run: str
    states: list[tuple[str, str]] = field(default_factory=list)
    checkpoints: list[int] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)
    left_after_cancel: list[psutil.Process] = field(default_factory=list)
    pieces: list[dict[str, tuple[int, int]]] = field(default_factory=list)


class Watched:
    """The folder of the pretrained model while it is made."""

    def __init__(self, room: Room, parameters: dict[str, Any]) -> None:
        store = Store(room.store)
        steps = plan_in(store, Recipe.model_validate(parameters["recipe"]))
        self.step = next(step for step in steps if step.name == "pretrain")
        self.work = store.folder(self.step) / WORK
        self.store = store

    def checkpoints(self) -> list[int]:
        notes = self.work.glob("checkpoints/step-*/checkpoint.json")
        return sorted(int(note.parent.name.removeprefix("step-")) for note in notes)

    def attempts(self) -> list[int]:
        """Give the steps at which attempts began."""
        with contextlib.suppress(FileNotFoundError):
            return [
                json.loads(line)["resumed_at_step"] for line in (self.work / "attempts.jsonl").read_text().splitlines()
            ]
        return []

    def is_past(self, step: int) -> bool:
        return max(self.checkpoints(), default=0) > step


def pieces(store: Path) -> dict[str, tuple[int, int]]:
    """Name every finished piece, with its inode and time of change."""
    notes = store.glob("pieces/*/*/piece.json")
    return {str(note.relative_to(store)): (note.stat().st_ino, note.stat().st_mtime_ns) for note in notes}


@pytest.fixture(scope="module")
def history(room: Room, project: Project) -> History:
    parameters = settings(project)
    assert room.ended(room.start("data", parameters))[0] == "Completed"
    made = pieces(room.store)
    watched = Watched(room, parameters)
    history = History(room.start("pretrain", parameters), pieces=[made])

    def note(state: tuple[str, str]) -> None:
        history.states.append(state)
        history.checkpoints.append(max(watched.checkpoints()))

    note(room.ended(history.run))
    room.retry(history.run)
    until(lambda: watched.is_past(history.checkpoints[-1]))
    psutil.Process(room.call(f"/flow_runs/{history.run}")["labels"]["pretrace.pid"]).kill()
    note(room.ended(history.run))
    retry = [BIN / "prefect", "flow-run", "retry", history.run]
    subprocess.run(retry, env={**os.environ, "PREFECT_API_URL": f"http://127.0.0.1:{room.port}/api"}, check=True)
    until(lambda: watched.is_past(history.checkpoints[-1]))
    room.cancel(history.run)
    note(room.ended(history.run))
    until(lambda: not room.workers())
    room.retry(history.run)
    until(lambda: len(watched.attempts()) == 4)
    history.resumed = watched.attempts()
    history.states.append(room.ended(history.run))
    history.pieces.append(pieces(room.store))
    return history


def test_a_mistake_in_the_form_is_told_in_one_sentence_and_nothing_runs(room: Room) -> None:
    wrong = room.start("pretraining", {"recipe": {"model": {"max_positions": 32}}, "base": ""})
    unknown = room.start("data", {"recpie": {}})
    said = "recipe.phases.0.sequence_length=128 exceeds recipe.model.max_positions=32; raise the latter or lower the former"
    assert room.ended(wrong) == ("Failed", said)
    assert room.ended(unknown) == ("Failed", "recpie: is not a setting; did you mean recipe?")
    assert room.workers() == []


def test_a_stage_that_fails_is_told_and_retried_from_its_checkpoint(history: History) -> None:
    state, said = history.states[0]
    assert state == "Failed"
    assert f"run.fault=pretrain:{FAULT}: " in said
    assert 0 < history.checkpoints[0] <= history.resumed[1]


def test_a_run_whose_process_is_killed_is_crashed_and_retried_from_its_checkpoint(history: History) -> None:
    assert history.states[1][0] == "Crashed"
    assert history.checkpoints[0] < history.checkpoints[1] <= history.resumed[2]


def test_a_run_that_is_cancelled_leaves_a_checkpoint_and_no_process_and_goes_on_from_it(history: History) -> None:
    state, said = history.states[2]
    assert state == "Cancelled"
    assert said.startswith(f"interrupted after step {history.resumed[3]};")
    assert history.checkpoints[1] < history.checkpoints[2] == history.resumed[3] < STEPS


def test_in_the_end_it_is_completed_with_nothing_made_twice(room: Room, history: History, project: Project) -> None:
    assert history.states[3][0] == "Completed"
    assert history.pieces[0] == history.pieces[1] != {}
    assert {stage: room.tasks(history.run)[stage] for stage in DATA} == {key: {"Cached"} for key in DATA}
    watched = Watched(room, settings(project))
    made = watched.store.find(watched.step)
    assert made is not None
    assert made.manifest["made"]["attempts"] == 4


def test_a_fresh_run_with_the_same_parameters_finds_everything(room: Room, history: History, project: Project) -> None:
    again = room.start("pretrain", settings(project))
    assert room.ended(again)[0] == "Completed"
    assert room.tasks(again) == {key: {"Cached"} for key in (*DATA, "pretrain")}


def test_runs_are_named_after_their_recipe(room: Room, history: History) -> None:
    assert room.call(f"/flow_runs/{history.run}")["name"].startswith("room ")


@dataclass(frozen=True)
class Dumps:
    """A folder that gets a new dump now and then, and a recipe of all that is in it."""

    folder: Path
    parameters: dict[str, Any]

    def add(self, text: Path) -> None:
        shutil.copy(text, self.folder)


@pytest.fixture
def dumps(project: Project, tmp_path: Path) -> Dumps:
    parameters = settings(project)
    parameters["recipe"]["name"] = "dumps"
    parameters["recipe"]["corpus"]["sources"] = [{"kind": "text", "path": str(tmp_path)}]
    dumps = Dumps(tmp_path, parameters)
    dumps.add(project.folder / "texts" / "0.txt")
    return dumps


def test_an_event_starts_a_run_and_a_schedule_repeats_it_for_a_new_dump(
    room: Room, dumps: Dumps, project: Project
) -> None:
    deployment = room.call("/deployments/name/data/data")["id"]
    action = {"type": "run-deployment", "source": "selected", "deployment_id": deployment}
    trigger = {"type": "event", "posture": "Reactive", "expect": ["pretrace.dump"], "threshold": 1, "within": 0}
    automation = {"name": "a new dump", "trigger": trigger, "actions": [{**action, "parameters": dumps.parameters}]}
    room.call("/automations/", automation)
    emitted = {"occurred": now(), "event": "pretrace.dump", "resource": {"prefect.resource.id": "dumps"}}

    def started() -> list[str]:
        runs = room.call("/flow_runs/filter", {"sort": "START_TIME_ASC"})
        return [str(run["id"]) for run in runs if run["parameters"] == dumps.parameters]

    looks = itertools.count()

    def emitted_and_started() -> list[str]:
        if next(looks) % 100 == 0:  # a new automation hears nothing for some seconds
            room.call("/events", [{**emitted, "id": str(uuid4())}])
        return started()

    until(emitted_and_started)
    assert {room.ended(run)[0] for run in started()} == {"Completed"}
    first, made = set(started()), pieces(room.store)
    dumps.add(project.folder / "texts" / "1.txt")
    schedule = {"interval": 86_400, "anchor_date": now()}
    room.call(f"/deployments/{deployment}/schedules", [{"schedule": schedule, "parameters": dumps.parameters}])
    until(lambda: any(room.state(run)[0] in FINAL for run in started() if run not in first))
    again = next(run for run in started() if run not in first and room.state(run)[0] in FINAL)
    assert room.state(again)[0] == "Completed"
    assert room.tasks(again)["corpus"] == {"Completed"}
    now_there = pieces(room.store)
    assert {name: now_there[name] for name in made} == made  # only what depends on the new dump is made
    assert len(now_there) > len(made)


def now() -> str:
    return datetime.now(UTC).isoformat()


def test_a_second_room_of_the_same_store_is_refused(room: Room) -> None:
    command = [BIN / "pretrace", "up", "--store", room.store, "--port-base", str(free_port())]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert f"has a control room already, process {room.process.pid}; " in second.stderr


def test_sigterm_ends_all_of_it(room: Room) -> None:
    assert len(room.running()) >= 3
    room.process.send_signal(signal.SIGTERM)
    assert room.process.wait(PATIENCE_SECONDS) == 0
    assert room.running() == []
    assert [line for line in room.log.splitlines()[-3:] if not line.endswith(": ended")] == []
