"""Trials on their way to MLflow: a run each, below the run of the stage that made them.

Every trial is noted in the stage's scratch first, so that a tracking server that is away loses none; and before a run is
made it is looked for, so that a stage that goes on makes none twice.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.core.files import read_json, write_json
from pipeline.core.tracking.client import trouble
from pipeline.core.tracking.uris import reason_of

LOG = logging.getLogger("pretrace")
POINTS_AT_MOST = 300
"""Of a curve, evenly spaced; MLflow takes 1000 metrics a call."""
TAG = "pretrace.trial"
MADE_BY = ("mlflow.source.name", "mlflow.user")
MILLISECONDS = 1000


@dataclass(frozen=True)
class Trial:
    """One training among several of a stage: what it was told, and what it reached."""

    key: str
    """Names it among all others."""
    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    began: float
    """In seconds since 1970."""
    ended: float
    curve: Sequence[tuple[int, float]] = ()
    """(step, loss)"""


class Trials:
    """The trials of one stage's run."""

    def __init__(self, client: Any, run_id: str, folder: Path) -> None:
        self._client, self._run_id, self._folder = client, run_id, folder
        self._above: Any = None

    def add(self, trial: Trial) -> None:
        """Note a trial, if it is not noted yet, and send what is noted."""
        note = self._folder / f"{trial.key}.json"
        if not note.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(note, {"sent_to": "", "trial": asdict(trial)})
        self.send()

    def send(self) -> bool:
        """Send every trial that its stage's run has not got yet; says whether it has all now."""
        for path in sorted(self._folder.glob("*.json")):
            note = read_json(path)
            if note["sent_to"] == self._run_id:
                continue
            try:
                self._send(Trial(**note["trial"]))
            except trouble() as error:
                LOG.warning("tracking is away, trials are kept: %s", reason_of(error))
                return False
            write_json(path, note | {"sent_to": self._run_id})
        return True

    def _send(self, trial: Trial) -> None:
        from mlflow.entities import Param

        run_id = self._find(trial) or self._create(trial)
        params = [Param(name, value) for name, value in trial.params.items()]
        self._client.log_batch(run_id, params=params, metrics=_metrics(trial))
        self._client.set_terminated(run_id, "FINISHED", round(MILLISECONDS * trial.ended))

    def _find(self, trial: Trial) -> str | None:
        """Find the run of a trial that was being sent when this process, or one before it, ended."""
        ours = f"tags.`{TAG}` = '{trial.key}' and tags.`mlflow.parentRunId` = '{self._run_id}'"
        found = self._client.search_runs([self._stage_run().info.experiment_id], ours, max_results=1)
        return str(found[0].info.run_id) if found else None

    def _create(self, trial: Trial) -> str:
        above = self._stage_run()
        who = {name: above.data.tags[name] for name in MADE_BY if name in above.data.tags}
        tags = {**who, "mlflow.parentRunId": self._run_id, TAG: trial.key}
        began = round(MILLISECONDS * trial.began)
        run = self._client.create_run(above.info.experiment_id, start_time=began, tags=tags, run_name=trial.name)
        return str(run.info.run_id)

    def _stage_run(self) -> Any:
        if self._above is None:
            self._above = self._client.get_run(self._run_id)
        return self._above


def _metrics(trial: Trial) -> list[Any]:
    from mlflow.entities import Metric

    at = round(MILLISECONDS * trial.ended)
    every = -(-len(trial.curve) // POINTS_AT_MOST) or 1
    curve = [Metric("loss", loss, at, step) for step, loss in trial.curve[::every]]
    return [*curve, *(Metric(name, value, at, 0) for name, value in trial.metrics.items())]
