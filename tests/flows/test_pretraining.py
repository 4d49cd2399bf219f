"""The body of every flow, run in this process with a real Prefect server and a real MLflow database."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import outbox, pretraining
from pipeline.core.errors import BudgetReached, ComputeError, Interrupted
from pipeline.core.tracking.client import connect
from tests.core.places import InTurn
from tests.flows.conftest import Shop


@dataclass
class Answers:
    """What Prefect's API says of one flow run."""

    id: str

    def state(self) -> tuple[str, str, str]:
        state = self._get(f"/flow_runs/{self.id}")["state"]
        return state["type"], state["name"], state["message"]

    def tasks(self) -> dict[str, tuple[str, str]]:
        found = self._post("/task_runs/filter", {"flow_runs": {"id": {"any_": [self.id]}}})
        return {run["name"]: (run["state"]["name"], run["id"]) for run in found}

    def artifacts(self) -> dict[str, dict[str, Any]]:
        wanted = {"artifacts": {"flow_run_id": {"any_": [self.id]}}}
        return {artifact["key"]: artifact for artifact in self._post("/artifacts/filter", wanted)}

    def lines(self, task_run_id: str) -> list[str]:
        found = self._post("/logs/filter", {"logs": {"task_run_id": {"any_": [task_run_id]}}})
        return [line["message"] for line in found if not line["name"].startswith("prefect.")]

    def _get(self, path: str) -> Any:
        with get_client(sync_client=True) as client:
            return client.request("GET", path).json()  # type: ignore[arg-type]

    def _post(self, path: str, wanted: dict[str, Any]) -> Any:
        with get_client(sync_client=True) as client:
            return client.request("POST", path, json=wanted).json()  # type: ignore[arg-type]


@dataclass
class Room:
    """A store whose flows a Prefect server shows, and the record of all tests."""

    shop: Shop
    uri: str
    ended: Any = None

    def run(self, *overrides: str, until: str = "tokenizer") -> Answers:
        """Run a flow as a deployment would have it: one that returns what `carry_out` returns."""
        config = self.shop.load("run.workers=1", *overrides)

        @flow(name="as-deployed", persist_result=False)
        def as_deployed() -> Any:
            return pretraining.carry_out(config, until)

        state: Any = as_deployed(return_state=True)
        self.ended = state.result(raise_on_failure=False)
        return Answers(str(state.state_details.flow_run_id))


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('record') / 'mlflow.db'}"


@pytest.fixture
def room(shop: Shop, prefect_url: str, uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A room whose stages work in this process: Ray has tests of its own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(outbox, "SEND_SECONDS", 0.2)
    monkeypatch.setattr(pretraining, "_compute", lambda run, store: nullcontext(InTurn()))
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        yield Room(shop, uri)


@dataclass
class During:
    """Shows nothing, and does something at the first sign of a stage's progress."""

    stage: str
    then: Callable[[], None]
    notes: list[str] = field(default_factory=list)

    def start(self, name: str) -> None: ...

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        if name == self.stage and not self.notes:
            self.notes.append(note)
            self.then()

    def finish(self, name: str) -> None: ...

    def __enter__(self) -> None:
        self._token = pretraining.PROGRESS.set(self)

    def __exit__(self, *_: object) -> None:
        pretraining.PROGRESS.reset(self._token)


def recorded(room: Room, answers: Answers) -> tuple[str, dict[str, str]]:
    """Give how the record says that a flow run ended, and its stages."""
    client = connect(room.uri)
    everywhere = [found.experiment_id for found in client.search_experiments()]
    (parent,) = client.search_runs(everywhere, f"tags.`prefect.flow_run_id` = '{answers.id}'")
    below = client.search_runs(everywhere, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    return parent.info.status, {run.info.run_name: run.info.status for run in below}


def test_a_page_shows_progress_lines_facts_and_record_of_each_stage_and_the_lineage(room: Room) -> None:
    room.shop.make("corpus")
    answers = room.run()
    tasks, artifacts = answers.tasks(), answers.artifacts()
    assert answers.state()[1] == "Completed"
    assert (tasks["corpus"][0], tasks["tokenizer"][0]) == ("Cached", "Completed")
    assert artifacts["tokenizer-progress"]["data"] == 100
    assert artifacts["tokenizer-progress"]["task_run_id"] == tasks["tokenizer"][1]
    rows = {row["what"]: row["value"] for row in json.loads(artifacts["tokenizer-facts"]["data"])}
    assert {"time", "CO2e", "attempts"} <= rows.keys()
    facts = room.ended[1].artifact.manifest["facts"]
    assert {name for name, value in facts.items() if isinstance(value, int)} <= rows.keys()
    assert (
        f"run `{room.ended[1].artifact.manifest['made']['tracking']['run_id']}`"
        in artifacts["tokenizer-record"]["data"]
    )
    assert artifacts["lineage"]["data"].startswith("```mermaid\nflowchart TD\n")
    assert artifacts["lineage"]["task_run_id"] is None
    assert [(outcome.name, outcome.made) for outcome in room.ended] == [("corpus", False), ("tokenizer", True)]


def test_a_signal_ends_a_run_as_cancelled_and_killed_and_a_fresh_one_goes_on(room: Room) -> None:
    with During("tokenizer", lambda: os.kill(os.getpid(), signal.SIGTERM)):
        answers = room.run()
    assert answers.state() == ("CANCELLED", "Cancelled", pretraining.GO_ON)
    assert isinstance(room.ended, Interrupted)
    assert {name: state for name, (state, _) in answers.tasks().items()} == {
        "corpus": "Completed",
        "tokenizer": "Cancelled",
    }
    assert recorded(room, answers) == ("KILLED", {"corpus": "FINISHED", "tokenizer": "KILLED"})
    again = room.run()
    assert {name: state for name, (state, _) in again.tasks().items()} == {"corpus": "Cached", "tokenizer": "Completed"}
    assert recorded(room, again) == ("FINISHED", {"tokenizer": "FINISHED"})  # in the run that it had


def test_a_fault_fails_its_stage_once_and_the_same_again_goes_through(room: Room) -> None:
    room.shop.make("corpus")
    answers = room.run("run.fault=tokenizer:0")
    kind, _, message = answers.state()
    assert kind == "FAILED"
    assert "ComputeError: run.fault=tokenizer:0: fails on purpose" in message
    assert isinstance(room.ended, ComputeError)
    assert room.run("run.fault=tokenizer:0").state()[1] == "Completed"


def test_a_run_without_carbon_left_is_paused_and_a_higher_budget_goes_on(room: Room) -> None:
    room.shop.make("corpus")
    answers = room.run("run.carbon_budget_kg=1e-12")
    kind, name, message = answers.state()
    assert (kind, name) == ("CANCELLED", "Paused: carbon budget")
    assert message.startswith("run.carbon_budget_kg=1e-12: reached before tokenizer")
    assert isinstance(room.ended, BudgetReached)
    assert room.ended.exit_code == 75
    assert room.run("run.carbon_budget_kg=1").state()[1] == "Completed"


def test_a_page_that_refuses_and_is_away_costs_a_run_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch, prefect_url: str
) -> None:
    room.shop.make("corpus")
    monkeypatch.setattr(outbox, "END_SECONDS", 0.5)
    asked: list[str] = []

    def away(client: Any, method: str, path: str, content: Any) -> Any:
        asked.append(path)
        raise OSError("away")

    monkeypatch.setattr(outbox, "_ask", away)
    assert room.run().state()[1] == "Completed"
    assert asked


def test_a_record_is_where_the_setting_says_else_the_environment(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pretraining._recorder(room.shop.load(), room.shop.store).uri == room.uri
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://nowhere:1")
    assert pretraining._recorder(room.shop.load(f"run.tracking_uri={room.uri}"), room.shop.store).uri == room.uri
