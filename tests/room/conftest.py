"""A control room that the tests of this folder share, worked with as Prefect's page does: over its API.

`make test-room` runs them. One run goes through it all: it fails, its process is killed, it is cancelled, and is retried
each time.
"""

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
from tests.conftest import BIN
from tests.e2e.conftest import Project, project
from tests.processes import free_port, kill_tree

__all__ = ["project"]
PATIENCE_SECONDS = 600
POLL_SECONDS = 0.2
STEPS = 400
FAULT = 20
BUSY = 503
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
DATA = ("corpus", "tokenizer", "examples-64")


def until(true: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> None:
    end = time.monotonic() + seconds
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
        for _ in range(60):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read() or "null")
            except OSError as error:  # all that urllib raises
                if isinstance(error, urllib.error.HTTPError) and error.code != BUSY:
                    raise AssertionError(f"{path}: {error.read().decode()}") from error
                time.sleep(1)
        raise AssertionError(f"{path}: the server is busy all the time")

    def start(self, deployment: str, parameters: dict[str, Any]) -> str:
        """Press Run."""
        found = self.call(f"/deployments/name/{deployment}/{deployment}")
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}, "idempotency_key": str(uuid4())}
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
        until(lambda: self.call(f"/flow_runs/{run}")["state"]["type"] in FINAL)
        return self.state(run)

    def tasks(self, run: str, attempt: int = 1) -> dict[str, str]:
        """By stage: the state of its task run in one attempt; news of tasks come a little later than those of the run."""

        def found() -> list[dict[str, Any]]:
            tasks = self.call("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
            return [task for task in tasks if task["flow_run_run_count"] == attempt]

        until(lambda: all(task["state_type"] in FINAL for task in found()))
        return {task["name"]: task["state_name"] for task in found()}

    def shows(self, run: str, key: str) -> str:
        """Give what an artifact of a run says of itself: the progress of a stage, the sentence of an audit."""
        found = self.call("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}, "key": {"any_": [key]}}})
        return str(found[0]["description"]) if found else ""

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


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("room")
    port = free_port(neighbours=1)
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


def settings(project: Project, steps: int = STEPS, **recipe: Any) -> dict[str, Any]:
    """Give the parameters that a form would send: a recipe that trains long enough to be caught."""
    tree: dict[str, Any] = yaml.safe_load(project.config.read_text())
    tree["recipe"] |= {"name": "room", "phases": [{**tree["recipe"]["phases"][0], "steps": steps}], "finetune": []}
    tree["recipe"]["pretrain"] |= {"evaluate_every": steps}
    return {"recipe": {**tree["recipe"], **recipe}, "run": tree["run"]}


def with_fault(parameters: dict[str, Any]) -> dict[str, Any]:
    return {**parameters, "run": {**parameters["run"], "fault": f"pretrain:{FAULT}"}}


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


@pytest.fixture(scope="session")
def history(room: Room, project: Project) -> History:
    parameters = with_fault(settings(project))
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
