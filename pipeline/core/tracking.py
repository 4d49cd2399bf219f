"""The record people look at: one MLflow run a stage actually made, under one parent run a flow run.

Metrics go to a journal in the draft first and from there to MLflow in batches: a tracking server that is away delays them
and loses none, and a resumed stage goes on in its own run without gaps or repeats.
"""

import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipeline.core.errors import ConfigError
from pipeline.core.files import read_json, write_json
from pipeline.core.fingerprint import key_of
from pipeline.core.store import Artifact, Named

T = TypeVar("T")
LOG = logging.getLogger("pretrace")

SEND_SECONDS = 5.0
PATIENCE_SECONDS = 300.0
RETRY_SECONDS = 2.0
"""How long a stage that begins waits for a server that answered this flow run before, and how often it asks."""
METRICS_A_CALL = 900
"""MLflow takes at most 1000 metrics a call."""
PARAMS_A_CALL = 100
DIGEST_CHARACTERS = 36
"""MLflow's limit for the digest of a dataset."""


class Track(Protocol):
    """The record of one stage that is being made."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record figures of one training step; steps recorded by an earlier attempt are passed over."""

    def where(self) -> dict[str, str]:
        """Say where this record is, for the manifest."""

    def made(self, artifact: Artifact) -> None:
        """Record what was made."""

    @property
    def complete(self) -> bool:
        """Whether all of it is where it is recorded; asked after the attempt."""


class Recorder(Protocol):
    """Where stages are recorded."""

    def stage(self, step: Named, inputs: Mapping[str, Artifact], work: Path) -> AbstractContextManager[Track]:
        """Record one attempt at one stage."""


class MlflowRecorder:
    """Records a flow run in MLflow by explicit run ids: stages may run in threads.

    Raises: ConfigError if nothing answers at the tracking URI.
    """

    def __init__(self, uri: str, experiment: str, artifacts: Path) -> None:
        self.uri = uri
        self._client = _client(uri)
        with self._answering():
            self.experiment_id = _experiment(self._client, experiment, uri, artifacts)
        self._parent = ""
        self._rows: list[str] = []

    def begin(self, name: str, tags: Mapping[str, str]) -> str:
        """Start the parent run of a flow run; returns its id."""
        with self._answering():
            self._parent = self._client.create_run(self.experiment_id, tags=dict(tags), run_name=name).info.run_id
        return self._parent

    def hit(self, step: Named, artifact: Artifact) -> None:
        """Show on the parent that a stage was found made, and which run made it."""
        with contextlib.suppress(*_trouble()):  # the store knows it as well
            self._client.set_tag(self._parent, f"pretrace.hit.{step.label}.{step.key}", artifact.key)
        self._row(step.name, artifact, "cached")

    def end(self, status: str) -> None:
        """End the parent run: `FINISHED`, `FAILED` or `KILLED`."""
        head = "| stage | artifact | | made by |\n|---|---|---|---|\n"
        with contextlib.suppress(*_trouble()):  # what ended the run is told, not what ended its record
            self._client.set_tag(self._parent, "mlflow.note.content", head + "\n".join(self._rows))
            self._client.set_terminated(self._parent, status)

    @contextmanager
    def stage(self, step: Named, inputs: Mapping[str, Artifact], work: Path) -> Iterator[Track]:
        """Record one attempt at one stage in its own run; a resumed stage goes on in the run it had."""
        with self._answering():
            run_id = self._patiently(lambda: self._resume(work) or self._start(step, work))
            self._patiently(lambda: self._describe(run_id, step, inputs))
        track = MlflowTrack(self._client, self.uri, run_id, work / "metrics.jsonl")
        status = "FAILED"
        try:
            yield track
            status = "FINISHED"
        finally:
            track.end(status)
        if track.artifact:
            self._row(step.name, track.artifact, "made")

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except _missing() as error:
            raise ConfigError(
                f"run.tracking_uri={without_passwords(self.uri)}: does not answer ({reason_of(error)}); "
                "start it or name another"
            ) from error

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask again until the server answers: it did when the flow run began, so it is away for a while."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return ask()
            except _trouble() as error:
                if time.monotonic() > deadline:
                    raise
                LOG.warning("tracking is away, the stage waits for it: %s", reason_of(error))
                time.sleep(RETRY_SECONDS)

    def _resume(self, work: Path) -> str | None:
        note = work / "mlflow.json"
        known = read_json(note) if note.exists() else {}
        if known.get("uri") != without_passwords(self.uri):
            return None
        try:
            if self._client.get_run(known["run_id"]).info.lifecycle_stage == "deleted":
                return None  # in the page; it takes nothing more
            self._client.update_run(known["run_id"], status="RUNNING")
            self._client.set_tag(known["run_id"], "mlflow.parentRunId", self._parent)
        except _missing() as error:
            if not _unknown(error):
                raise
            return None  # gone for good, or another database at the same place
        return str(known["run_id"])

    def _start(self, step: Named, work: Path) -> str:
        tags = {"mlflow.parentRunId": self._parent, "pretrace.key": step.key, "pretrace.stage": step.label}
        run_id = str(self._client.create_run(self.experiment_id, tags=tags, run_name=step.name).info.run_id)
        (work / "metrics.sent").unlink(missing_ok=True)  # an earlier run may have had them, this one has none
        write_json(work / "mlflow.json", {"uri": without_passwords(self.uri), "run_id": run_id})
        return run_id

    def _describe(self, run_id: str, step: Named, inputs: Mapping[str, Artifact]) -> None:
        """Say what the stage is made from; saying it again, in a resumed run, changes nothing."""
        from mlflow.entities import Param, RunTag

        made_from = {f"pretrace.input.{role}": f"{artifact.label}/{artifact.key}" for role, artifact in inputs.items()}
        tags = [RunTag(name, value) for name, value in made_from.items()]
        params = [Param(name, str(value)[:6000]) for name, value in flat(step.recipe["config"]).items()]
        for at in range(0, max(1, len(params)), PARAMS_A_CALL):
            self._client.log_batch(run_id, params=params[at : at + PARAMS_A_CALL], tags=tags)
        self._client.log_inputs(run_id, datasets=_datasets(step, inputs))

    def _row(self, stage: str, artifact: Artifact, how: str) -> None:
        run_id = artifact.manifest["made"].get("tracking", {}).get("run_id", "")
        link = f"[{run_id[:8]}](#/experiments/{self.experiment_id}/runs/{run_id})" if run_id else ""
        self._rows.append(f"| {stage} | {artifact.key} | {how} | {link} |")


class MlflowTrack:
    """The MLflow run of one stage."""

    def __init__(self, client: Any, uri: str, run_id: str, journal: Path) -> None:
        self.run_id = run_id
        self.artifact: Artifact | None = None
        self._client = client
        self._uri = uri
        self._spool = _Spool(journal)
        self._told = True
        self._complete = False
        self._sent_at = time.monotonic()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Journal the figures of a step; send what has gathered every few seconds."""
        self._spool.add(step, values)
        if time.monotonic() - self._sent_at > SEND_SECONDS:
            self._send()

    def where(self) -> dict[str, str]:
        """Say where this record is, without passwords."""
        return {"uri": without_passwords(self._uri), "run_id": self.run_id}

    def made(self, artifact: Artifact) -> None:
        """Record costs, facts and the manifest."""
        self.artifact = artifact
        made = artifact.manifest["made"]
        figures = {
            name: value for name, value in {**flat(artifact.manifest["facts"]), **made}.items() if _is_number(value)
        }
        self._spool.add(self._spool.last, figures)
        self._told = False
        with contextlib.suppress(*_trouble()):
            self._client.log_dict(self.run_id, artifact.manifest, "manifest.json")
            self._client.set_tag(self.run_id, "pretrace.digest", artifact.manifest["digest"])
            for picture in sorted(artifact.path.glob("*.png")):
                self._client.log_artifact(self.run_id, str(picture))
            self._told = True

    @property
    def complete(self) -> bool:
        """Whether MLflow has all figures, the manifest and the end."""
        return self._complete

    def end(self, status: str) -> None:
        """Send what is left and end the run."""
        sent = self._send()
        self._spool.close()
        with contextlib.suppress(*_trouble()):
            self._client.set_terminated(self.run_id, status)
            self._complete = sent and self._told

    def _send(self) -> bool:
        self._sent_at = time.monotonic()
        for lines, after in self._spool.batches():
            try:
                self._client.log_batch(self.run_id, metrics=_metrics(lines))
            except _trouble() as error:
                LOG.warning("tracking is away, figures are kept: %s", reason_of(error))
                return False
            self._spool.sent(after)
        return True


class _Spool:
    """Figures on their way to MLflow: a journal of JSON lines and how far it was sent.

    A step is journalled once, however often training comes past it; sending a line twice is harmless,
    because it carries its time and MLflow keeps equal points once.
    """

    def __init__(self, journal: Path) -> None:
        self._offset_note = journal.with_suffix(".sent")
        self._file = journal.open("a+b")
        self._drop_torn_line()
        self._last: dict[str, int] = {}  # by name: the last step journalled
        self._file.seek(0)
        for line in map(json.loads, self._file.read().splitlines()):
            self._last |= dict.fromkeys(line["values"], line["step"])

    @property
    def last(self) -> int:
        """The last step of any figure."""
        return max(self._last.values(), default=0)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        fresh = {name: value for name, value in values.items() if step > self._last.get(name, -1)}
        if not fresh:
            return
        self._last |= dict.fromkeys(fresh, step)
        line = {"step": step, "time_ms": int(time.time() * 1000), "values": fresh}
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    def batches(self) -> Iterator[tuple[list[dict[str, Any]], int]]:
        """Yield journalled lines not sent yet, a call's worth at a time, with the offset after them."""
        self._file.seek(self._offset())
        lines: list[dict[str, Any]] = []
        size = 0
        for raw in iter(self._file.readline, b""):
            lines.append(json.loads(raw))
            size += len(lines[-1]["values"])
            if size >= METRICS_A_CALL - 50:
                yield lines, self._file.tell()
                lines, size = [], 0
        if lines:
            yield lines, self._file.tell()

    def sent(self, offset: int) -> None:
        self._offset_note.write_text(str(offset))

    def close(self) -> None:
        self._file.close()

    def _offset(self) -> int:
        return int(self._offset_note.read_text() or 0) if self._offset_note.exists() else 0

    def _drop_torn_line(self) -> None:
        self._file.seek(0)
        whole = self._file.read()
        self._file.truncate(whole.rfind(b"\n") + 1)


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Flatten nested data to dotted names: {"a": {"b": [1]}} to {"a.b.0": 1}."""
    if isinstance(value, Mapping):
        items = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(str(at), item) for at, item in enumerate(value)]
    else:
        return {path: value}
    parts = [flat(item, f"{path}.{name}" if path else name) for name, item in items]
    return {name: item for part in parts for name, item in part.items()}


def without_passwords(text: str) -> str:
    """Remove user and password from every URI in a text: it goes into manifests and messages."""
    return re.sub(r"://[^/\s]*@", "://", text)


def reason_of(error: Exception) -> str:
    """Give the first line of what an error says, without passwords."""
    return without_passwords(str(error)).partition("\n")[0] or type(error).__name__


def _client(uri: str) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default blocks for four minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails is told once, by us
    return mlflow.MlflowClient(tracking_uri=uri)


def _experiment(client: Any, name: str, uri: str, artifacts: Path) -> str:
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    local = uri.startswith("sqlite:")
    return str(client.create_experiment(name, artifact_location=artifacts.resolve().as_uri() if local else None))


def _datasets(step: Named, inputs: Mapping[str, Artifact]) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    found = [
        (role, artifact.manifest["digest"], f"{artifact.label}/{artifact.key}") for role, artifact in inputs.items()
    ]
    for role, files in step.recipe["sources"].items():
        digest = files[0]["sha256"] if len(files) == 1 else key_of(files)
        found.append((role, digest, ", ".join(file["name"] for file in files)[:500]))
    return [
        DatasetInput(
            Dataset(
                name=role, digest=digest[:DIGEST_CHARACTERS], source_type="pretrace", source=json.dumps({"uri": source})
            ),
            tags=[InputTag("mlflow.data.context", role), InputTag("sha256", digest)],
        )
        for role, digest, source in found
    ]


def _metrics(lines: list[dict[str, Any]]) -> list[Any]:
    from mlflow.entities import Metric

    return [
        Metric(name, float(value), line["time_ms"], line["step"])
        for line in lines
        for name, value in line["values"].items()
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _missing() -> type[Exception]:
    from mlflow.exceptions import MlflowException

    return MlflowException


def _unknown(error: Exception) -> bool:
    return getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"


def _trouble() -> tuple[type[Exception], ...]:
    from mlflow.exceptions import MlflowException

    return (MlflowException, OSError)
