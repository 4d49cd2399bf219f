"""The record of one stage that is being made."""

import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pipeline.core.store import Artifact
from pipeline.core.tracking.client import trouble
from pipeline.core.tracking.figures import metrics_of
from pipeline.core.tracking.spool import Spool
from pipeline.core.tracking.tables import log_tables, tables_of
from pipeline.core.tracking.trials import Trial, Trials
from pipeline.core.tracking.uris import reason_of, without_passwords

LOG = logging.getLogger("pretrace")
SEND_SECONDS = 5.0


class Track(Protocol):
    """The record of one stage that is being made."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record figures of one training step; steps recorded by an earlier attempt are passed over."""

    def trial(self, trial: Trial) -> None:
        """Record one training among several in a run of its own below this one; once, however often it is told."""

    def where(self) -> dict[str, str]:
        """Say where this record is, for the manifest."""

    def made(self, artifact: Artifact) -> None:
        """Record what was made."""

    @property
    def complete(self) -> bool:
        """Whether all of it is where it is recorded; asked after the attempt."""


class MlflowTrack:
    """The MLflow run of one stage."""

    def __init__(self, client: Any, uri: str, run_id: str, journal: Path) -> None:
        self.run_id = run_id
        self.artifact: Artifact | None = None
        self._client = client
        self._uri = uri
        self._spool = Spool(journal)
        self._trials = Trials(client, run_id, journal.with_name("trials-noted"))
        self._told = True
        self._complete = False
        self._sent_at = time.monotonic()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Journal the figures of a step; send what has gathered every few seconds."""
        self._spool.add(step, values)
        if time.monotonic() - self._sent_at > SEND_SECONDS:
            self._send()

    def trial(self, trial: Trial) -> None:
        """Note a trial, and send it or keep it for later."""
        self._trials.add(trial)

    def where(self) -> dict[str, str]:
        """Say where this record is, without passwords."""
        return {"uri": without_passwords(self._uri), "run_id": self.run_id}

    def made(self, artifact: Artifact) -> None:
        """Record costs, facts and the manifest."""
        self.artifact = artifact
        self._spool.add(self._spool.last, metrics_of(artifact.manifest))
        self._told = False
        with contextlib.suppress(*trouble()):
            self._client.log_dict(self.run_id, artifact.manifest, "manifest.json")
            self._client.set_tag(self.run_id, "pretrace.digest", artifact.manifest["digest"])
            for picture in sorted(artifact.path.glob("*.png")):
                self._client.log_artifact(self.run_id, str(picture))
            log_tables(self._client, self.run_id, tables_of(artifact))
            self._told = True

    @property
    def complete(self) -> bool:
        """Whether MLflow has all figures, the manifest and the end."""
        return self._complete

    def end(self, status: str) -> None:
        """Send what is left and end the run."""
        sent = self._send() and self._trials.send()
        self._spool.close()
        with contextlib.suppress(*trouble()):
            self._client.set_terminated(self.run_id, status)
            self._complete = sent and self._told

    def _send(self) -> bool:
        self._sent_at = time.monotonic()
        for lines, after in self._spool.batches():
            try:
                self._client.log_batch(self.run_id, metrics=_metrics(lines))
            except trouble() as error:
                LOG.warning("tracking is away, figures are kept: %s", reason_of(error))
                return False
            self._spool.sent(after)
        return True


def _metrics(lines: list[dict[str, Any]]) -> list[Any]:
    from mlflow.entities import Metric

    return [
        Metric(name, float(value), line["time_ms"], line["step"])
        for line in lines
        for name, value in line["values"].items()
    ]
