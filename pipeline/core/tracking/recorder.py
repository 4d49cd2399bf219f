"""Records a flow run in MLflow: the parent run, and a run for each stage that is made."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from pipeline.core.errors import ConfigError, Interrupted
from pipeline.core.files import read_json, write_json
from pipeline.core.store import Artifact, Named
from pipeline.core.tracking import registry
from pipeline.core.tracking.client import connect, experiment_of, missing, show_columns, trouble, unknown
from pipeline.core.tracking.datasets import datasets_of, sources_of, table_of
from pipeline.core.tracking.figures import params_of
from pipeline.core.tracking.notes import MODE, NOTE, Place, Row, figures_of, markdown_of, parent_note, stage_note
from pipeline.core.tracking.parents import Parents
from pipeline.core.tracking.servable import Candidate
from pipeline.core.tracking.tables import Rows, log_tables
from pipeline.core.tracking.track import MlflowTrack, Track
from pipeline.core.tracking.uris import reason_of, without_passwords

T = TypeVar("T")
LOG = logging.getLogger("pretrace")

PATIENCE_SECONDS = 300.0
RETRY_SECONDS = 2.0
"""How long a stage that begins waits for a server that answered this flow run before, and how often it asks."""
PARAMS_A_CALL = 100


class Recorder(Protocol):
    """Where stages are recorded."""

    def stage(self, step: Named, inputs: Mapping[str, Artifact], work: Path) -> AbstractContextManager[Track]:
        """Record one attempt at one stage."""


class MlflowRecorder:
    """Records a flow run in MLflow by explicit run ids: stages may run in threads.

    `artifacts` is where a database without a server keeps files; notes on unfinished runs lie beside it.

    Raises: ConfigError if nothing answers at the tracking URI.
    """

    def __init__(self, uri: str, experiment: str, artifacts: Path, operator: str | None = None) -> None:
        self.uri = uri
        self.experiment = experiment
        self.parent = ""
        self._who = {"mlflow.source.name": "pretrace"} | ({"mlflow.user": operator} if operator else {})
        with self._answering():
            self._client = connect(uri)
            self.experiment_id = experiment_of(self._client, experiment, uri, artifacts)
        self._parents = Parents(artifacts.with_name("mlflow-unfinished"), uri)
        self._rows: list[Row] = []
        self._expected: dict[str, Mapping[str, float]] = {}
        self._pages: list[str] = []
        self._places: dict[str, Place] = {}

    def begin(self, name: str, tags: Mapping[str, str]) -> str:
        """Start the parent run of a flow run, and end those whose processes are gone; returns its id."""
        with self._answering():
            self.parent = self._create(name, tags)
        self._parents.end_those_left(self._client)
        self._parents.begun(self.parent)
        return self.parent

    def hit(self, step: Named, artifact: Artifact) -> None:
        """Show on the parent that a stage was found made, and which run made it."""
        with contextlib.suppress(*trouble()):  # the store knows it as well
            self._client.set_tag(self.parent, f"pretrace.hit.{step.name}", artifact.key)
        others = [
            row for row in self._rows if row.stage != step.name
        ]  # where it was settled: its maker's parent counts it
        self._rows = [*others, Row(step.name, artifact, "cached")]

    def expect(self, stage: str, cost: Mapping[str, float]) -> None:
        """Show on the parent what a stage was expected to cost: `duration_s`, `energy_kwh`, `emissions_kg`."""
        self._expected[stage] = cost

    def page(self, name: str, text: str) -> None:
        """Put a page on the parent run, and a link to it into its description.

        Raises: what MLflow raises where it cannot be reached.
        """
        self._client.log_text(self.parent, text, name)
        self._pages.append(f"- {self._place().link(name, f'/artifacts/{name}')}: the whole lineage")

    def table(self, name: str, about: str, rows: Rows) -> None:
        """Put a table on the parent run, and into its description.

        Raises: what MLflow raises where it cannot be reached.
        """
        log_tables(self._client, self.parent, {name: rows})
        link = self._place().link(name, f"/artifacts/{name}")
        self._pages.append("\n".join([f"- {link}: {about}", "", *markdown_of(rows), ""]))

    def figures(self, values: Mapping[str, float]) -> None:
        """Record figures on the parent run: what its models reached.

        Raises: what MLflow raises where it cannot be reached.
        """
        for name, value in values.items():
            self._client.log_metric(self.parent, name, value)

    def columns(self, metrics: Sequence[str]) -> None:
        """Keep a view of the experiment that shows these metrics and the costs as columns.

        Raises: what MLflow raises where it cannot be reached.
        """
        show_columns(self._client, self.experiment_id, metrics)

    def register(self, model: Candidate) -> str:
        """Make a model the candidate of its name, as a new version unless it is one; returns the version.

        Raises: what MLflow raises where it cannot be reached.
        """
        place = self._find(model.artifact) or self._place()
        version = registry.register(self._client, place, model)
        link = f"[{model.name} {version}](#/models/{model.name}/versions/{version}{MODE})"
        self._pages.append(f"- {link}: the model, registered as `{model.name}@{registry.ALIAS}`")
        return version

    def end(self, status: str) -> None:
        """End the parent run: `FINISHED`, `FAILED` or `KILLED`; where that cannot be recorded, the next run does it."""
        tags = {NOTE: parent_note(self._rows, self._expected, self._find, self._pages)}
        try:
            self._client.set_tag(self.parent, NOTE, tags[NOTE])
            self.figures(figures_of(self._rows))
            self._client.set_terminated(self.parent, status)
        except trouble() as error:  # what ended the run is told, not what ended its record
            LOG.warning("tracking is away, the next run ends this one's record: %s", reason_of(error))
            self._parents.unsent(self.parent, status, tags)
        else:
            self._parents.ended(self.parent)

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
        except BaseException as error:  # goes on up; signals end a stage as well, and the record says which it was
            status = status_of(error)
            raise
        finally:
            track.end(status)
        if track.artifact:
            self._rows.append(Row(step.name, track.artifact, "made"))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except missing() as error:
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
            except trouble() as error:
                if time.monotonic() > deadline:
                    raise
                LOG.warning("tracking is away, the stage waits for it: %s", reason_of(error))
                time.sleep(RETRY_SECONDS)

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(self.experiment_id, tags={**self._who, **tags}, run_name=name)
        return str(run.info.run_id)

    def _resume(self, work: Path) -> str | None:
        note = work / "mlflow.json"
        if not note.exists():
            return None
        known = read_json(note)
        run_id = str(known["run_id"])
        try:
            if self._client.get_run(run_id).info.lifecycle_stage == "deleted":
                return None  # in the page; it takes nothing more
            self._client.update_run(run_id, status="RUNNING")
            self._client.set_tag(run_id, "mlflow.parentRunId", self.parent)
        except missing() as error:
            if not unknown(error):
                raise
            return None  # gone for good, or recorded elsewhere
        if known["uri"] != without_passwords(self.uri):  # the same record under another address, or a copy of it
            self._note(work, run_id)
        return run_id

    def _start(self, step: Named, work: Path) -> str:
        tags = {"mlflow.parentRunId": self.parent, "pretrace.key": step.key, "pretrace.stage": step.label}
        run_id = self._create(step.name, tags)
        self._note(work, run_id)
        return run_id

    def _note(self, work: Path, run_id: str) -> None:
        (work / "metrics.sent").unlink(missing_ok=True)  # what another record has had, this one may not
        write_json(work / "mlflow.json", {"uri": without_passwords(self.uri), "run_id": run_id})

    def _describe(self, run_id: str, step: Named, inputs: Mapping[str, Artifact]) -> None:
        """Say what the stage is made from; saying it again, in a resumed run, changes nothing."""
        from mlflow.entities import Param, RunTag

        sources = sources_of(step.recipe)
        said = {f"pretrace.input.{role}": f"{given.label}/{given.key}" for role, given in inputs.items()}
        said[NOTE] = stage_note(step, inputs, sources, self._find)
        tags = [RunTag(name, value) for name, value in said.items()]
        params = [Param(name, value) for name, value in params_of(step.recipe["config"]).items()]
        for at in range(0, max(1, len(params)), PARAMS_A_CALL):
            self._client.log_batch(run_id, params=params[at : at + PARAMS_A_CALL], tags=tags)
        self._client.log_inputs(run_id, datasets=datasets_of(step, inputs))
        if sources:
            self._client.log_text(run_id, table_of(sources), "sources.csv")

    def _place(self) -> Place:
        return Place(self.experiment_id, self.parent)

    def _find(self, artifact: Artifact) -> Place | None:
        """Find the run that made an artifact: under whatever address it was recorded, and in whatever experiment."""
        run_id = artifact.manifest["made"].get("tracking", {}).get("run_id", "")
        if run_id and run_id not in self._places:
            try:
                found = self._client.get_run(run_id).info
            except trouble() as error:
                return None if unknown(error) else Place(self.experiment_id, run_id)  # away: most likely here
            self._places[run_id] = Place(found.experiment_id, run_id)
        return self._places.get(run_id)


def status_of(error: BaseException) -> str:
    """Say how a run ended that raised: `KILLED` if somebody asked for the end, else `FAILED`."""
    asked = isinstance(error, Interrupted) or not isinstance(error, Exception)  # KeyboardInterrupt, SystemExit, ...
    return "KILLED" if asked else "FAILED"
