"""Runs whose process is gone, on a real server."""

import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
from prefect import Flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import AwaitingRetry, Cancelling, Completed, Crashed, Pending, Running, State

from flows import sweeping
from flows.sweeping import CREATED, HOST, PID, sign, sweep, sweep_tasks

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_run_is_young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "YOUNG_SECONDS", 0.0)


@pytest.fixture
def client(prefect_url: str) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: prefect_url}), get_client(sync_client=True) as client:
        yield client


def nothing() -> None: ...


Start = Callable[..., FlowRun]


@pytest.fixture
def start(client: SyncPrefectClient) -> Start:
    """Make a run that is in a state and has noted a process; by default one that is gone."""

    def make(state: State[Any], *, signed: bool = True, **labels: Any) -> FlowRun:
        run = client.create_flow_run(Flow(nothing, name="swept"))
        if signed:
            gone = {HOST: socket.gethostname(), PID: 2**22 + 1, CREATED: 0.0}
            client.update_flow_run_labels(run.id, {**gone, **labels})
        client.set_flow_run_state(run.id, state, force=True)
        return run

    return make


def state_of(client: SyncPrefectClient, run: FlowRun) -> str:
    state = client.read_flow_run(run.id).state
    assert state is not None
    return str(state.name)


def test_a_run_whose_process_is_gone_is_crashed_or_cancelled(client: SyncPrefectClient, start: Start) -> None:
    running, cancelling = start(Running()), start(Cancelling())
    swept = sweep(client, LONG_AGO)
    assert {client.read_flow_run(run.id).name for run in (running, cancelling)} <= set(swept)
    assert state_of(client, running) == "Crashed"
    assert state_of(client, cancelling) == "Cancelled"


def test_a_process_with_the_same_id_is_not_the_one_that_ran_it(client: SyncPrefectClient, start: Start) -> None:
    run = start(Running(), **{PID: os.getpid(), CREATED: 1.0})
    sweep(client, LONG_AGO)
    assert state_of(client, run) == "Crashed"


def test_a_run_that_goes_on_is_left_alone(client: SyncPrefectClient, start: Start) -> None:
    mine = {PID: os.getpid(), CREATED: psutil.Process().create_time()}
    runs = [start(Running(), **mine), start(Running(), **{HOST: "another host"}), start(Running(), signed=False)]
    sweep(client, LONG_AGO)
    assert [state_of(client, run) for run in runs] == ["Running"] * 3


def test_a_run_that_may_not_have_signed_yet_is_left_alone(
    client: SyncPrefectClient, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "YOUNG_SECONDS", 600.0)
    run = start(Running())
    sweep(client, LONG_AGO)
    assert state_of(client, run) == "Running"


def test_a_run_that_the_worker_before_was_about_to_start_is_crashed(
    client: SyncPrefectClient, prefect_url: str
) -> None:
    flow_id = client.create_flow(Flow(nothing, name="offered"))
    deployment = client.create_deployment(flow_id, name="offered")
    run = client.create_flow_run_from_deployment(deployment, state=Pending())
    sweep(client, LONG_AGO)
    assert state_of(client, run) == "Pending"
    sweep(client, datetime.now(UTC) + timedelta(seconds=1))
    assert state_of(client, run) == "Crashed"


def begun(client: SyncPrefectClient, run: FlowRun, name: str) -> TaskRun:
    """Begin a task in the present attempt at a run."""
    made = client.create_task_run(task(nothing), run.id, dynamic_key=name, name=name)
    client.set_task_run_state(made.id, Running())
    return made


def state_of_task(client: SyncPrefectClient, task_run: TaskRun) -> str:
    return str(client.read_task_run(task_run.id).state_name)


def test_a_task_of_a_run_that_is_over_is_crashed(client: SyncPrefectClient, start: Start) -> None:
    run = start(Running())
    left = begun(client, run, "left")
    client.set_flow_run_state(run.id, Crashed(), force=True)
    assert "left" in sweep_tasks(client)
    assert state_of_task(client, left) == "Crashed"
    assert "left" not in sweep_tasks(client)


def test_a_task_of_an_earlier_attempt_is_crashed_and_one_of_the_present_is_left_alone(
    client: SyncPrefectClient, start: Start
) -> None:
    run = start(Running())
    earlier = begun(client, run, "earlier")
    client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
    client.set_flow_run_state(run.id, Running(), force=True)
    present = begun(client, run, "present")
    assert "earlier" in sweep_tasks(client)
    assert (state_of_task(client, earlier), state_of_task(client, present)) == ("Crashed", "Running")


def test_a_task_whose_run_has_just_ended_is_left_alone(
    client: SyncPrefectClient, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "YOUNG_SECONDS", 600.0)
    run = start(Running())
    ending = begun(client, run, "ending")
    client.set_flow_run_state(run.id, Completed(), force=True)
    assert "ending" not in sweep_tasks(client)
    assert state_of_task(client, ending) == "Running"


def test_a_flow_notes_its_process_while_it_runs(client: SyncPrefectClient) -> None:
    flow = Flow(nothing, name="signed", on_running=[sign])
    state: State[None] = flow(return_state=True)
    assert state.state_details.flow_run_id is not None
    labels = client.read_flow_run(state.state_details.flow_run_id).labels
    assert (labels[HOST], labels[PID]) == (socket.gethostname(), os.getpid())
    assert labels[CREATED] == psutil.Process().create_time()
