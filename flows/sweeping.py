"""Runs whose process is gone are shown as Crashed, or as Cancelled where that was asked for, so that they can be retried.

Prefect notices a killed flow only if the process that started it lives on, and never what became of its tasks. So every
flow run notes its host and process on the server, and the worker of `pretrace up` looks whether they are still there.
"""

import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State, TaskRun

HOST, PID, CREATED = "pretrace.host", "pretrace.pid", "pretrace.created"
LOOK_SECONDS = 5.0
YOUNG_SECONDS = 10.0
"""A run that entered its state more recently may not have noted its process yet."""
CLOCK_SECONDS = 0.5  # how exactly times of creation are compared; process ids do not come round so fast
AT_ONCE = 200  # what Prefect's server gives in one answer


def sign(flow: Any, flow_run: "FlowRun", state: Any) -> None:
    """Note on the server which process runs a flow run; a hook of flows for `on_running`."""
    from prefect.client.orchestration import get_client

    labels: dict[str, bool | int | float | str] = {
        HOST: socket.gethostname(),
        PID: os.getpid(),
        CREATED: psutil.Process().create_time(),
    }
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(flow_run.id, labels)


def sweep_forever(since: datetime, over: threading.Event) -> None:
    """Sweep now and then until it is over; a server that is away for a while changes nothing."""
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectException

    while not over.is_set():
        try:
            with get_client(sync_client=True) as client:
                while not over.wait(LOOK_SECONDS):
                    sweep(client, since)
                    sweep_tasks(client)
        except (HTTPError, PrefectException, RuntimeError):
            over.wait(LOOK_SECONDS)


def sweep(client: "SyncPrefectClient", since: datetime) -> list[str]:
    """Set every run whose process is gone Crashed or Cancelled; gives their names.

    `since` is when the worker started that alone starts runs of deployments now: what was pending before has no process.
    """
    from prefect.states import Cancelled, Crashed

    swept = []
    for run in _unfinished(client):
        if run.state is None or not (_is_orphan(run) or _was_never_begun(run, since)):
            continue
        message = "Its process is gone; Retry goes on from what is made."
        state: State[None] = Cancelled(message=message) if run.state.is_cancelling() else Crashed(message=message)
        client.set_flow_run_state(run.id, state, force=True)
        swept.append(run.name)
    return swept


def sweep_tasks(client: "SyncPrefectClient") -> list[str]:
    """Set every task run Crashed that an earlier attempt left unfinished when its process was killed; gives their names."""
    from prefect.states import Crashed

    swept = []
    for task_run, run in _unfinished_tasks(client):
        if _is_left(task_run, run):
            message = "Its process is gone; the next attempt goes on from what is made."
            client.set_task_run_state(task_run.id, Crashed(message=message), force=True)
            swept.append(task_run.name)
    return swept


def _unfinished_tasks(client: "SyncPrefectClient") -> Iterator[tuple["TaskRun", "FlowRun"]]:
    from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter

    wanted = {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}
    found = client.read_task_runs(task_run_filter=TaskRunFilter.model_validate(wanted), limit=AT_ONCE)
    ids = list({task_run.flow_run_id for task_run in found if task_run.flow_run_id})
    if ids:
        theirs = FlowRunFilter.model_validate({"id": {"any_": ids}})
        runs = {run.id: run for run in client.read_flow_runs(flow_run_filter=theirs, limit=AT_ONCE)}
        yield from ((one, runs[one.flow_run_id]) for one in found if one.flow_run_id in runs)


def _is_left(task_run: "TaskRun", run: "FlowRun") -> bool:
    """Tell whether a task's flow run is over, or in a later attempt than the one that the task notes when it begins."""
    assert run.state is not None
    if run.state.is_final():
        return _age_seconds(run) >= YOUNG_SECONDS  # news of a task's end may come a little late
    return 0 < task_run.flow_run_run_count < run.run_count


def _unfinished(client: "SyncPrefectClient") -> Iterator["FlowRun"]:
    from prefect.client.schemas.filters import FlowRunFilter

    wanted = {"state": {"type": {"any_": ["RUNNING", "CANCELLING", "PENDING"]}}}
    yield from client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(wanted), limit=AT_ONCE)


def _is_orphan(run: "FlowRun") -> bool:
    """Tell whether the process that a run noted was on this host and is gone."""
    assert run.state is not None
    if run.labels.get(HOST) != socket.gethostname() or run.state.is_pending() or _age_seconds(run) < YOUNG_SECONDS:
        return False
    return not _lives(int(run.labels[PID]), float(run.labels[CREATED]))


def _was_never_begun(run: "FlowRun", since: datetime) -> bool:
    """Tell whether a run of a deployment was about to start when the worker before this one ended."""
    assert run.state is not None
    unbegun = run.state.is_pending() or (run.state.is_cancelling() and HOST not in run.labels)
    return unbegun and run.deployment_id is not None and run.state.timestamp < since


def _age_seconds(run: "FlowRun") -> float:
    assert run.state is not None
    return (datetime.now(UTC) - run.state.timestamp).total_seconds()


def _lives(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < CLOCK_SECONDS
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
