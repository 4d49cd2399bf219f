"""`pretrace up` in a process of its own, from a mistake in the form to SIGTERM."""

import itertools
import shutil
import signal
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import BIN
from tests.e2e.conftest import Project
from tests.processes import free_port
from tests.room.conftest import (
    DATA,
    FAULT,
    FINAL,
    PATIENCE_SECONDS,
    STEPS,
    History,
    Room,
    Watched,
    pieces,
    settings,
    until,
    with_fault,
)

EVERY_SECONDS = 30

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def test_a_mistake_in_the_form_is_told_in_one_sentence_and_nothing_runs(room: Room) -> None:
    until(lambda: not room.workers())
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
    assert room.tasks(history.run, attempt=4) == {**dict.fromkeys(DATA, "Cached"), "pretrain": "Completed"}
    watched = Watched(room, settings(project))
    made = watched.store.find(watched.step)
    assert made is not None
    assert made.manifest["made"]["attempts"] == 4


def test_a_fresh_run_with_the_same_parameters_finds_everything(room: Room, history: History, project: Project) -> None:
    again = room.start("pretrain", with_fault(settings(project)))
    assert room.ended(again)[0] == "Completed"
    assert room.tasks(again) == dict.fromkeys((*DATA, "pretrain"), "Cached")


def test_the_task_of_the_attempt_that_was_killed_is_crashed(room: Room, history: History) -> None:
    assert [room.tasks(history.run, attempt)["pretrain"] for attempt in (1, 2, 3)] == ["Failed", "Crashed", "Cancelled"]


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


def test_an_event_starts_a_run(room: Room, dumps: Dumps) -> None:
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


def test_a_schedule_repeats_a_run_for_a_new_dump(room: Room, dumps: Dumps, project: Project) -> None:
    deployment = room.call("/deployments/name/data/data")["id"]
    assert room.ended(room.start("data", dumps.parameters))[0] == "Completed"
    made = pieces(room.store)
    dumps.add(project.folder / "texts" / "1.txt")
    schedule = {"interval": EVERY_SECONDS, "anchor_date": now()}
    room.call(f"/deployments/{deployment}/schedules", [{"schedule": schedule, "parameters": dumps.parameters}])

    def repeated() -> list[Any]:
        return [run for run in room.call("/flow_runs/filter", {}) if run["auto_scheduled"]]

    def over() -> list[str]:
        return [str(run["id"]) for run in repeated() if run["state"]["type"] in FINAL]

    until(over)
    room.call(f"/deployments/{deployment}/pause_deployment", {})
    until(lambda: len(over()) == len(repeated()))
    assert {room.state(run)[0] for run in over()} == {"Completed"}
    assert sorted(room.tasks(run)["corpus"] for run in over())[-1] == "Completed"  # the first of them made it
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
