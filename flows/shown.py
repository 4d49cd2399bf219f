"""What Prefect's page shows of a stage: how far it is, what was logged, what it was made of and cost, where it is recorded.

Each is an artifact of the stage's task run. Lines come from the driver and, through it, from workers and ranks.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect.runtime import task_run

from cluster.logs import OURS, REMOTE
from flows.graph import mermaid
from flows.outbox import Card, Outbox
from flows.outcome import Outcome, duration
from flows.units import energy, mass, number
from pipeline.core.energy import certainty
from pipeline.core.files import read_json
from pipeline.core.progress import Progress
from pipeline.core.store import Artifact
from pipeline.core.tracking import flat, without_passwords

NO_KEY = re.compile(r"[^a-z0-9]+")
IN_LIST = re.compile(r"\.\d+(\.|$)")
ROWS_AT_MOST = 100
TEXT_CHARACTERS = 20_000
"""Prefect refuses a call with lines of a million bytes."""
LOGGERS = (*map(logging.getLogger, OURS), REMOTE)


@dataclass
class Shown:
    """Shows progress as `terminal` does, and what there is of a stage in its task run."""

    terminal: Progress
    outbox: Outbox
    work: Callable[[str], Path]
    """Gives the scratch folder of a stage by its name."""
    experiment_id: str = ""
    """Where MLflow's page shows the runs of stages."""
    _linked: set[str] = field(default_factory=set)

    def start(self, name: str) -> None:
        """Show that a stage begins."""
        self._progress(name, 0.0, "begins")
        self.terminal.start(name)

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        """Show how far a stage is, and where it is recorded as soon as that is known."""
        self._progress(name, 100.0 * done / total if total else 0.0, f"{done:,.0f} of {total:,.0f} {unit} {note}")
        note_of_run = self.work(name) / "mlflow.json"
        if name not in self._linked and note_of_run.exists():
            self.link(name, read_json(note_of_run))
        self.terminal.update(name, done, total, unit, note)

    def finish(self, name: str) -> None:
        """Show that a stage is over."""
        self.terminal.finish(name)

    def link(self, name: str, known: dict[str, str]) -> None:
        """Show where a stage is recorded: a link where that is a page."""
        self._linked.add(name)
        uri, run_id = without_passwords(known["uri"]), known["run_id"]
        page = f"[{name} in MLflow]({uri}/#/experiments/{self.experiment_id}/runs/{run_id})"
        place = f"run `{run_id}` in `{uri}`; `mlflow ui --backend-store-uri {uri}` shows it"
        self._show(name, "record", "markdown", page if uri.startswith("http") else place)

    def ended(self, outcome: Outcome) -> None:
        """Show what an artifact holds, what it cost, and where it was recorded."""
        manifest = outcome.artifact.manifest
        self._progress(outcome.name, 100.0, "made" if outcome.made else "was made before")
        about = f"{outcome.artifact.label}/{outcome.artifact.key}"
        rows = [*_costs(manifest["made"]), *_facts(manifest["facts"])]
        self._show(outcome.name, "facts", "table", json.dumps(rows), about)
        if manifest["made"].get("tracking"):
            self.link(outcome.name, manifest["made"]["tracking"])

    def lineage(self, artifacts: Sequence[Artifact]) -> None:
        """Show in the flow run how what was made hangs together."""
        self.outbox.show(Card("lineage", "markdown", f"```mermaid\n{mermaid(artifacts)}\n```", "what was made of what"))

    def _progress(self, name: str, percent: float, text: str) -> None:
        self._show(name, "progress", "progress", percent, f"{name}: {text}".strip())

    def _show(self, name: str, what: str, kind: Any, data: Any, description: str = "") -> None:
        self.outbox.show(Card(f"{key_of(name)}-{what}", kind, data, description, task_run.id))


class _Lines(logging.Handler):
    """Sends what is logged to one task run; warnings of this process also go where they would go without it."""

    def __init__(self, outbox: Outbox, task_run_id: str | None, *, ours: bool) -> None:
        super().__init__()
        self._outbox, self._task_run_id, self._ours = outbox, task_run_id, ours

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        line = {
            "name": record.name,
            "level": record.levelno,
            "message": self.format(record)[:TEXT_CHARACTERS],
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "task_run_id": self._task_run_id,
        }
        self._outbox.say(line)
        if self._ours and record.levelno >= logging.WARNING:
            logging.getLogger().callHandlers(record)


@contextmanager
def lines_shown(outbox: Outbox) -> Iterator[None]:
    """Show what is logged meanwhile, here and by workers and ranks, in the task run that is running."""
    with ExitStack() as before:
        for logger in LOGGERS:
            handler = _Lines(outbox, task_run.id, ours=logger is not REMOTE)
            before.callback(_restore, logger, handler, logger.level, propagate=logger.propagate)
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False  # the terminal shows warnings alone, which the handler passes on
        yield


def _restore(logger: logging.Logger, handler: logging.Handler, level: int, *, propagate: bool) -> None:
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate = propagate


def key_of(name: str) -> str:
    """Write a stage's name as Prefect takes it for the key of an artifact: lowercase letters, digits and dashes."""
    return NO_KEY.sub("-", name.lower()).strip("-")


def _costs(made: dict[str, Any]) -> list[dict[str, str]]:
    how = certainty(made)
    rows = {
        "time": duration(made["duration_s"]),
        f"energy ({how})": energy(made["energy_kwh"]),
        "CO2e": mass(made["emissions_kg"]),
        "attempts": str(made.get("attempts", 1)),
    }
    if "emissions_kg_total" in made:
        rows["CO2e with all that it is made from"] = mass(made["emissions_kg_total"])
    return [{"what": name, "value": value} for name, value in rows.items()]


def _facts(facts: dict[str, Any]) -> list[dict[str, str]]:
    """List the facts that are one value each; lists are for those who read the manifest."""
    plain = {name: value for name, value in flat(facts).items() if not IN_LIST.search(name)}
    told = {name: number(value) if _is_number(value) else str(value) for name, value in plain.items()}
    return [{"what": name, "value": value} for name, value in list(told.items())[:ROWS_AT_MOST]]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
