"""The flow: one Prefect task a step of the plan, named as the step. Prefect watches and shows; the store decides.

Prefect's own result cache is off: two caches that can disagree are one too many.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from cluster.ray_compute import RayCompute
from flows.outcome import Outcome
from flows.planning import plan_in
from pipeline.config import PipelineConfig
from pipeline.core.progress import Progress, Quiet
from pipeline.core.stage import Step, materialize
from pipeline.core.store import Store
from pipeline.core.tracking import MlflowRecorder
from pipeline.running import Run

PROGRESS: ContextVar[Progress] = ContextVar("PROGRESS", default=Quiet())  # noqa: B039 - Quiet has no state
"""Where the running process shows progress: set by the command line, quiet elsewhere."""
TRACKING_URI: ContextVar[str | None] = ContextVar("TRACKING_URI", default=None)
"""The setting with its password, which the flow's parameters do not hold: Prefect stores them and shows them."""


@dataclass(frozen=True)
class Session:
    """What every task of one flow run shares."""

    store: Store
    compute: RayCompute
    recorder: MlflowRecorder
    progress: Progress
    run: Run


@flow(name="pretraining", persist_result=False)
def pretraining(config: PipelineConfig, until: str | None = None) -> list[Outcome]:
    """Make everything that a config asks for, up to and with a stage, each step after those it needs."""
    store = Store(Path(config.run.store).absolute()).open()
    steps = plan_in(store, config.recipe, until)
    recorder = _recorder(config, store)
    with _compute(config.run, store) as compute:
        session = Session(store, compute, recorder, PROGRESS.get(), config.run)
        return _make_all(steps, session, config.recipe.name)


@task(cache_policy=NO_CACHE, persist_result=False)
def make(step: Step, session: Session) -> State[Outcome]:
    """Find or make one artifact; a hit ends as `Cached`."""
    artifact, made = materialize(step, session.store, session.compute, session.recorder, session.progress, session.run)
    if not made:
        session.recorder.hit(step, artifact)
    about = f"{step.label}/{artifact.key}"
    return Completed(name=None if made else "Cached", message=about, data=Outcome(step.name, artifact, made))


def _make_all(steps: Sequence[Step], session: Session, name: str) -> list[Outcome]:
    session.recorder.begin(name, _tags())
    status = "FAILED"
    try:
        states: dict[str, Any] = {}
        for step in steps:
            states[step.key] = _make(step, session, [states[dep.key] for dep in step.inputs.values()])
        status = "FINISHED"
        return [_outcome(state) for state in states.values()]
    finally:
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
    uri = TRACKING_URI.get() or config.run.tracking_uri or f"sqlite:///{store.root / 'mlflow.db'}"
    return MlflowRecorder(uri, config.recipe.name, store.root / "mlflow-artifacts")


def _compute(run: Run, store: Store) -> RayCompute:
    return RayCompute(
        address=run.ray_address,
        workers=run.workers,
        ranks=run.ranks,
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
