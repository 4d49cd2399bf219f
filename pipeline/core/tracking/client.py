"""The way to MLflow: a client that never waits for minutes, and what its errors mean."""

import json
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ABOUT = """\
One run a flow run; below it (▸) one run for each stage that it made. A stage found made has no run here: the parent's
description links to the run that made it.

| column | what it says |
|---|---|
| `pretrace.stage`, `pretrace.key` | what was made: the folder and the name of the artifact in the store |
| `pretrace.input.*` | what it was made from; the description of a run links to the runs that made those |
| `energy_kwh`, `emissions_kg`, `duration_s` | the cost of all attempts at this stage; of all that was made now on a parent |
| `*_total` | the same along the lineage, each ancestor once |
| losses, `*.accuracy`, ... | what a model reached; on a parent, what its models reached |
| params | the slice of the recipe that names the artifact |

Everything else is in `manifest.json` (a stage) and `lineage.html` (a parent), below Artifacts.
"""
VIEW = "pretrace"
COSTS = ("energy_kwh", "emissions_kg")
SHOWN_TAGS = ("pretrace.stage", "pretrace.key")
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # without it the page opens in its mode for language model apps
    "mlflow.note.content": ABOUT,
}


def connect(uri: str) -> Any:
    """Make a client for a tracking server or database; nothing is asked of it yet."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default blocks for four minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails is told once, by us
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment_of(client: Any, name: str, uri: str, artifacts: Path) -> str:
    """Find an experiment or make it, with a description of its columns."""
    place = artifacts.resolve().as_uri() if uri.startswith("sqlite:") else None
    found = client.get_experiment_by_name(name)
    if found is None:
        with suppress(missing()):  # made by another run at this moment
            return str(client.create_experiment(name, artifact_location=place, tags=EXPERIMENT_TAGS))
        found = client.get_experiment_by_name(name)
    if found.lifecycle_stage == "deleted":  # in the page; it takes no runs
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def show_columns(client: Any, experiment_id: str, metrics: Sequence[str]) -> None:
    """Keep a view of an experiment with columns worth reading, and link to it from the description.

    The page's own default shows no metrics, and which columns it shows is otherwise kept in the reader's browser.
    """
    columns = [f"metrics.`{name}`" for name in (*metrics, *COSTS)] + [f"tags.`{name}`" for name in SHOWN_TAGS]
    view = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": ["attributes.`Created`", "attributes.`Duration`", *columns],
    }
    client.set_experiment_tag(experiment_id, f"mlflow.sharedViewState.{VIEW}", json.dumps(view))
    link = f"#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"
    client.set_experiment_tag(
        experiment_id, "mlflow.note.content", f"[Show what models reached and cost]({link})\n\n{ABOUT}"
    )


def missing() -> type[Exception]:
    """Give the error of MLflow's own: also raised when nothing answers over HTTP."""
    from mlflow.exceptions import MlflowException

    return MlflowException


def trouble() -> tuple[type[Exception], ...]:
    """List the errors of a record that cannot be reached or refuses."""
    from mlflow.exceptions import MlflowException

    return (MlflowException, OSError)


def unknown(error: BaseException) -> bool:
    """Say whether the record answered that it holds no such thing."""
    return getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"
