"""Whether pretraining pays: a row a task, with what is reached from pretrained weights and what from random ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from flows.outcome import Outcome
from flows.units import energy
from pipeline.config import SCRATCH
from pipeline.core.energy import certainty
from pipeline.core.fingerprint import key_of
from pipeline.core.lineage import paid_for
from pipeline.core.store import Artifact
from pipeline.starts import TUNED
from pipeline.tasks import TASKS
from pipeline.tuning import HELD_BACK, READ

COLUMNS = ("task", "score", "begun from", "pretrained", "scratch", "difference", "energy")
DOUBTS = ("measured", "partly estimated", "estimated")
NONE = "-"
"""What was not run."""


@dataclass(frozen=True)
class Score:
    """A score on the development rows."""

    value: float
    """The mean, where there are several seeds."""
    deviation: float = 0.0
    seeds: int = 1

    def __str__(self) -> str:
        return f"{self.value:.3f}" + (f" ± {self.deviation:.3f} ({self.seeds} seeds)" if self.seeds > 1 else "")


@dataclass(frozen=True)
class Compared:
    """A task: tuned from a model, and from random weights."""

    task: str
    metric: str
    begun_from: str
    pretrained: Score | None
    scratch: Score | None
    energy_kwh: float
    certainty: str

    @property
    def cells(self) -> tuple[str, ...]:
        """Write the row, by COLUMNS."""
        difference = f"{self.pretrained.value - self.scratch.value:+.3f}" if self.pretrained and self.scratch else NONE
        doubt = "" if self.certainty == DOUBTS[0] else f" {self.certainty}"
        scores = (str(score or NONE) for score in (self.pretrained, self.scratch))
        return (self.task, self.metric, self.begun_from, *scores, difference, f"{energy(self.energy_kwh)}{doubt}")


def compared(outcomes: Sequence[Outcome]) -> list[Compared]:
    """Put tasks beside themselves: each that began from a model, with the one on the same rows that began from nothing.

    Where several began from nothing, the one whose settings are most alike counts; one that has no partner has its own row.
    """
    names = {f"{one.artifact.label}/{one.artifact.key}": one.name for one in outcomes}
    return beside([one.artifact for one in outcomes if not one.is_start], names)


def beside(artifacts: Sequence[Artifact], names: Mapping[str, str]) -> list[Compared]:
    """Do so for those of some artifacts that are tasks; `names` says what `label/key` is called."""
    groups: dict[str, list[Artifact]] = {}
    for artifact in artifacts:
        if _is_task(artifact):
            groups.setdefault(_rows_of(artifact), []).append(artifact)
    tasks = [group[0].manifest["config"]["task"] for group in groups.values()]
    return [
        _compared(pair, names, alone=tasks.count(pair[2].manifest["config"]["task"]) == 1)
        for group in groups.values()
        for pair in _pairs(group)
    ]


def comparison_of(rows: Sequence[Compared]) -> Table:
    """Lay out the rows for a terminal."""
    table = Table(title="tasks", title_justify="left", box=None, pad_edge=False, caption_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in COLUMNS[:3] else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row.cells)
    table.caption = (
        "Scores are of the development rows. Energy is that of fine-tuning, of all in the row, trials found made too."
    )
    return table


def _is_task(artifact: Artifact) -> bool:
    """Tell what was tuned on a task that is known here; an older version's manifest may tell less."""
    config, facts = artifact.manifest.get("config", {}), artifact.manifest.get("facts", {})
    return artifact.label in TUNED and config.get("task") in TASKS and {"init", "dev"} <= facts.keys()


Pair = tuple[Artifact | None, Artifact | None, Artifact]
"""(from a model, from random weights, one of them that is there)"""


def _pairs(group: Sequence[Artifact]) -> Iterator[Pair]:
    scratch = [one for one in group if _init(one) == SCRATCH]
    used = set()
    for one in group:
        if _init(one) == SCRATCH:
            continue
        partner = max(scratch, key=lambda other: _alike(one, other), default=None)
        used.add(partner and partner.key)
        yield one, partner, one
    yield from ((None, one, one) for one in scratch if one.key not in used)


def _compared(pair: Pair, names: Mapping[str, str], *, alone: bool) -> Compared:
    begun, scratch, one = pair
    made = [artifact.manifest["made"] for artifact in (begun, scratch) if artifact]
    task = one.manifest["config"]["task"]
    metric = TASKS[task].metrics[0]
    return Compared(
        task=task if alone else f"{task} ({_place(one)})",
        metric=metric,
        begun_from=names.get(_init(begun), _init(begun)) if begun else NONE,
        pretrained=_score(begun, metric),
        scratch=_score(scratch, metric),
        energy_kwh=sum(paid_for(cost, "energy_kwh") for cost in made),
        certainty=max(map(certainty, made), key=DOUBTS.index),
    )


def _score(artifact: Artifact | None, metric: str) -> Score | None:
    """Give the mean over seeds where there are several, else what was reached."""
    if artifact is None:
        return None
    facts: dict[str, Any] = artifact.manifest["facts"]
    if over := facts.get("seeds", {}).get(metric):
        return Score(over["mean"], over["deviation"], over["n"])
    return Score(facts["dev"][metric])


def _init(artifact: Artifact) -> str:
    return str(artifact.manifest["facts"]["init"])


def _rows_of(artifact: Artifact) -> str:
    """Name the task and its rows: two tasks over tables of one's own, or over two columns of one, are two tasks."""
    config, files = artifact.manifest["config"], artifact.manifest["sources"]
    told = [name for name in READ if name not in HELD_BACK or "dev" not in files]
    return key_of({"files": files, **{name: config.get(name) for name in told}})


def _place(artifact: Artifact) -> str:
    """Say where a task's rows are from: their folder, and the column of their answers where the user named it."""
    config, made = artifact.manifest["config"], artifact.manifest["made"]
    folder = Path(made.get("sources", {}).get("train", [""])[0]).parent.name
    return f"{folder}: {config['label_column']}" if TASKS[config["task"]].named else folder


def _alike(one: Artifact, other: Artifact) -> int:
    """Count settings that are equal."""
    mine, its = one.manifest["config"], other.manifest["config"]
    return sum(mine[name] == its.get(name) for name in mine)
