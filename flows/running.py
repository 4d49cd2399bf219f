"""`pretrace run`: plan, make what is missing, tell what became of it."""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from rich.console import Console

from flows.comparison import compared, comparison_of
from flows.outcome import Outcome, findings, funnel_of, next_commands, table_of
from flows.planning import plan_in
from flows.progress import console, shown
from flows.server import URL, away, start
from flows.stopping import ended_by_signals
from pipeline.config import PipelineConfig
from pipeline.core.errors import Interrupted, StoreError
from pipeline.core.stage import Step
from pipeline.core.store import Store
from pipeline.core.tracking import without_passwords
from pipeline.estimate import estimate

SERVER_BYTES = 32_000_000
"""What Prefect's database grows to in its first minutes, several times over; it hangs where it cannot be written."""
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # a failure is told once, by us
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # 20 s are too few on a loaded machine
}
"""Nothing calls out, and a temporary Prefect server has time to start. What the user has set stays."""


def run_config(config: PipelineConfig, until: str | None) -> None:
    """Make everything that a config asks for, up to and with a stage, and print what became of it."""
    out = console()
    store = Store(Path(config.run.store).absolute()).open()
    steps = plan_in(store, config.recipe, until)
    estimates = estimate(steps, store, config.run)
    outcomes = _hits(steps, store) or _run(config, until, store, out)
    for outcome in outcomes:
        if outcome.made and outcome.artifact.label == "corpus":
            out.print(funnel_of(outcome.artifact.manifest["facts"]))
    out.print(table_of(outcomes, config.run.country, estimates))
    if rows := compared(outcomes):
        out.print(comparison_of(rows))
    for line in findings(outcomes):
        out.print(line, highlight=False, soft_wrap=True)
    out.print("next:")
    for command in next_commands(outcomes, config.run):
        out.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)


def _require_room(store: Store) -> None:
    """Refuse a disk on which Prefect's temporary server would hang.

    Raises: StoreError if there is next to no room.
    """
    free = shutil.disk_usage(store.root).free
    if free < SERVER_BYTES:
        raise StoreError(
            f"run.store={store.root}: the disk is full, {free / 1e6:.0f} MB are free and a run needs "
            f"{SERVER_BYTES / 1e6:.0f} MB for its own notes; free some space or name another folder"
        )


def _hits(steps: Sequence[Step], store: Store) -> list[Outcome]:
    """Find all artifacts at once, or nothing: where all are made, no Prefect, Ray or MLflow needs to start."""
    there = [(step, artifact) for step in steps if (artifact := store.find(step)) and artifact.settled]
    found = [Outcome(step.name, artifact, made=False) for step, artifact in there]
    return found if len(found) == len(steps) else []


def _run(config: PipelineConfig, until: str | None, store: Store, out: Console) -> list[Outcome]:
    """Run the flow.

    Raises: Interrupted if a signal ended it; ConfigError if Prefect's server is not there.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if URL not in os.environ:
        _require_room(store)
        os.environ.setdefault("PREFECT_HOME", str(store.root / "prefect"))
    logging.captureWarnings(True)
    from httpx import HTTPError
    from prefect.exceptions import TerminationSignal

    from flows.pretraining import GO_ON, PROGRESS, TRACKING_URI, pretraining

    with shown(out) as progress, ended_by_signals():
        tokens = PROGRESS.set(progress), TRACKING_URI.set(config.run.tracking_uri)
        try:
            start()
            named = pretraining.with_options(flow_run_name=literally(config.recipe.name))
            return cast(list[Outcome], named(to_be_stored(config), until))  # a state that is not Completed is raised
        except (KeyboardInterrupt, SystemExit, TerminationSignal) as end:  # by whose handler was there
            raise Interrupted(GO_ON) from end
        except HTTPError as error:
            raise away("went away, what is made is kept", error) from error
        finally:
            PROGRESS.reset(tokens[0])
            TRACKING_URI.reset(tokens[1])


def to_be_stored(config: PipelineConfig) -> PipelineConfig:
    """Leave out what Prefect must not store: passwords."""
    uri = config.run.tracking_uri and without_passwords(config.run.tracking_uri)
    return config.model_copy(update={"run": config.run.model_copy(update={"tracking_uri": uri})})


def literally(name: str) -> str:
    """Write a name so that Prefect, which puts parameters between its braces, leaves it alone."""
    return name.replace("{", "{{").replace("}", "}}")
