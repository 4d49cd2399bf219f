"""The flow: one Prefect task a step of the plan, named as the step. Prefect watches and shows; the store decides.

Prefect's own result cache is off: two caches that can disagree are one too many.
"""

import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled, Completed

from cluster.ray_compute import RayCompute
from flows.budget import Budget
from flows.fault import Fault
from flows.outbox import Outbox
from flows.outcome import Outcome
from flows.planning import plan_in
from flows.recording import record
from flows.shown import Shown, lines_shown
from flows.stopping import PATIENCE_SECONDS, SERVED_PATIENCE_SECONDS, Stopping
from flows.sweeping import sign
from pipeline.config import PipelineConfig
from pipeline.core.errors import BudgetReached, Interrupted
from pipeline.core.progress import Progress, Quiet
from pipeline.core.stage import Step, materialize
from pipeline.core.store import WORK, Store
from pipeline.core.tracking import MlflowRecorder
from pipeline.estimate import Estimate, estimate
from pipeline.running import Run

PROGRESS: ContextVar[Progress] = ContextVar("PROGRESS", default=Quiet())  # noqa: B039 - Quiet has no state
"""Where the running process shows progress: set by the command line, quiet elsewhere."""
TRACKING_URI: ContextVar[str | None] = ContextVar("TRACKING_URI", default=None)
"""The setting with its password, which the flow's parameters do not hold: Prefect stores them and shows them."""
ENDS = (Interrupted, BudgetReached, KeyboardInterrupt, SystemExit, TerminationSignal)
"""How a run ends that was asked to: by its ranks, its budget, or by whose handler was there when the signal came."""
PAUSED = "Paused: carbon budget"
GO_ON = "interrupted; run the same command again to go on"
Ended = list[Outcome] | State[Any]
"""What became of every step, or the state of a run that was asked to stop: `Cancelled`, or named `Paused: ...`."""


@dataclass(frozen=True)
class Session:
    """What every task of one flow run shares."""

    store: Store
    compute: RayCompute
    recorder: MlflowRecorder
    shown: Shown
    budget: Budget
    progress: Progress
    config: PipelineConfig


@flow(name="pretraining", persist_result=False, on_running=[sign])
def pretraining(config: PipelineConfig, until: str | None = None) -> Ended:
    """Make everything that a config asks for, up to and with a stage, each step after those it needs."""
    return carry_out(config, until)


def carry_out(config: PipelineConfig, until: str | None) -> Ended:
    """Be the whole body of a flow, which returns what this returns; signals have ranks make a checkpoint first."""
    work: dict[str, Path] = {}
    patience = SERVED_PATIENCE_SECONDS if deployment.id else PATIENCE_SECONDS
    with Outbox(flow_run.id) as outbox, Stopping(work.__getitem__, patience) as stopping:
        try:
            store = Store(Path(config.run.store).absolute()).open()
            steps = plan_in(store, config.recipe, until)
            work.update({step.name: store.folder(step) / WORK for step in steps})
            estimates = estimate(steps, store, config.run)
            recorder = _recorder(config, store)
            shown = Shown(PROGRESS.get(), outbox, work.__getitem__, recorder.experiment_id)
            budget = Budget(shown, steps, store, config.run.carbon_budget_kg)
            stopping.shown = Fault(budget, config.run.fault, work.__getitem__)
            with _compute(config.run, store) as compute:
                session = Session(store, compute, recorder, shown, budget, stopping, config)
                return _make_all(steps, session, estimates)
        except ENDS as end:
            return _stopped(end)


@task(cache_policy=NO_CACHE, persist_result=False)
def make(step: Step, session: Session) -> State[Outcome]:
    """Find or make one artifact; a hit ends as `Cached`, one that was asked to stop as `Cancelled` or `Paused: ...`."""
    with lines_shown(session.shown.outbox):
        try:
            outcome = _find_or_make(step, session)
        except ENDS as end:
            return _stopped(session.budget.error() if session.budget.reached else end)
    session.shown.ended(outcome)
    about = f"{step.label}/{step.key}"
    return Completed(name=None if outcome.made else "Cached", message=about, data=outcome)


def _find_or_make(step: Step, session: Session) -> Outcome:
    run = session.config.run
    artifact, made = materialize(step, session.store, session.compute, session.recorder, session.progress, run)
    if not made:
        session.recorder.hit(step, artifact)
    return Outcome(step.name, artifact, made)


def _stopped(end: BaseException) -> State[Any]:
    """Give the state of what was asked to stop; whoever asks for its result is told why, by an error."""
    if isinstance(end, BudgetReached):
        return Cancelled(name=PAUSED, message=str(end), data=end)
    told = end if isinstance(end, Interrupted) else Interrupted(GO_ON)
    return Cancelled(message=str(told), data=told)


def _make_all(steps: Sequence[Step], session: Session, estimates: Mapping[str, Estimate]) -> list[Outcome]:
    session.recorder.begin(session.config.recipe.name, _tags())
    outcomes: list[Outcome] = []
    status = "FAILED"
    try:
        states: dict[str, Any] = {}
        for step in steps:
            states[step.key] = _make(step, session, [states[dep.key] for dep in step.inputs.values()])
            outcomes.append(_outcome(states[step.key]))
        status = "FINISHED"
        return outcomes
    except BaseException as error:  # goes on up; signals end a run as well, and the record says which it was
        status = "KILLED" if isinstance(error, ENDS) else "FAILED"
        raise
    finally:
        record(session.recorder, session.store, outcomes, estimates)
        if outcomes:
            session.shown.lineage([outcome.artifact for outcome in outcomes])
        session.recorder.end(status)


def _make(step: Step, session: Session, upstream: list[Any]) -> Any:
    """Run one task after those it needs, which Prefect draws; what it raises is raised here."""
    named = make.with_options(name=step.name, task_run_name=step.name)
    state: Any = named(step, session, wait_for=upstream, return_state=True)
    _outcome(state)
    return state


def _outcome(state: Any) -> Outcome:
    outcome: Any = state.result()
    assert isinstance(outcome, Outcome)
    return outcome


def _recorder(config: PipelineConfig, store: Store) -> MlflowRecorder:
    named = TRACKING_URI.get() or config.run.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    uri = named or f"sqlite:///{store.root / 'mlflow.db'}"
    return MlflowRecorder(uri, config.recipe.name, store.root / "mlflow-artifacts", config.run.operator)


def _compute(run: Run, store: Store) -> RayCompute:
    return RayCompute(
        address=run.ray_address,
        workers=run.workers,
        ranks=run.ranks,
        threads_per_rank=run.threads,
        gpus_per_rank=1 if run.device == "cuda" else 0,
        state=store.root / "ray",
        min_ranks=run.min_ranks,
        max_failures=run.max_failures,
        host_wait_seconds=60 * run.host_wait_minutes,
        rank_wait_seconds=round(60 * run.rank_wait_minutes),
    )


def _tags() -> dict[str, str]:
    tags = {"prefect.flow_run_id": str(flow_run.id or "")}
    return tags | ({"prefect.flow_run_url": str(flow_run.ui_url)} if flow_run.ui_url else {})
