"""What MLflow's page says about a run: tables with links from run to run, from a model down to its source files."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.core.store import Artifact, Named
from pipeline.core.tracking.datasets import Source
from pipeline.core.tracking.tables import Rows

NOTE = "mlflow.note.content"
MODE = "?workflowType=machine_learning"
"""The page opens in its mode for language model apps otherwise, which has other words for everything."""
FILES_SHOWN = 30
GRAMS = 1000.0
COSTS = ("duration_s", "energy_kwh", "emissions_kg")


class Place(NamedTuple):
    """Where a run is shown."""

    experiment_id: str
    run_id: str

    def link(self, text: str, below: str = "") -> str:
        """Give a link within the page: relative, because nobody knows by what name the server is reached."""
        return f"[{text}](#/experiments/{self.experiment_id}/runs/{self.run_id}{below}{MODE})"


class Row(NamedTuple):
    """A stage as its flow run saw it: `made` or `cached`."""

    stage: str
    artifact: Artifact
    how: str


Find = Callable[[Artifact], Place | None]
"""Finds the run that made an artifact; None if this record does not hold it."""


def stage_note(step: Named, inputs: Mapping[str, Artifact], sources: Sequence[Source], find: Find) -> str:
    """Describe a stage's run: what it makes, the runs that made what it is made from, its source files."""
    lines = [f"`{step.label}/{step.key}`: check it with `pretrace audit {step.key}`.", ""]
    if inputs:
        lines += ["| made from | artifact | made by |", "|---|---|---|"]
        lines += [
            f"| {role} | `{given.label}/{given.key}` | {made_by(given, find)} |" for role, given in inputs.items()
        ]
        lines.append("")
    if sources:
        lines += _files(sources)
    return "\n".join(lines)


def made_by(artifact: Artifact, find: Find) -> str:
    """Link to the run that made an artifact, or say where it is recorded."""
    known = artifact.manifest["made"].get("tracking", {})
    if not known.get("run_id"):
        return "not recorded"
    place = find(artifact)
    return (
        place.link(f"{artifact.label} {place.run_id[:8]}")
        if place
        else f"run {known['run_id'][:8]}, recorded elsewhere"
    )


def parent_note(
    rows: Sequence[Row], expected: Mapping[str, Mapping[str, float]], find: Find, pages: Sequence[str]
) -> str:
    """Describe a flow run: each stage with its cost, what was expected of it, and the run that made it."""
    lines = [*pages, ""] if pages else []  # the page folds what is long
    lines += ["| stage | artifact | | time | energy | CO2e | made by |", "|---|---|---|---|---|---|---|"]
    lines += [_row(row, expected.get(row.stage, {}), find) for row in rows]
    made = [row.artifact.manifest["made"] for row in rows if row.how == "made"]
    total = {name: sum(float(cost.get(name, 0)) for cost in made) for name in COSTS}
    lines.append(f"| **made now** | | | {' | '.join(_costs(total, {}))} | |")
    methods = dict.fromkeys(str(cost["energy_method"]) for cost in made if "energy_method" in cost)
    lines += [f"\nEnergy: {method}." for method in methods]
    return "\n".join(lines)


def markdown_of(rows: Rows) -> list[str]:
    """Lay out a table for a description."""
    cells = [rows.columns, ["---"] * len(rows.columns), *rows.data]
    return [f"| {' | '.join(_cell(str(cell)) for cell in line)} |" for line in cells]


def figures_of(rows: Sequence[Row]) -> dict[str, float]:
    """Sum what a flow run's own stages cost."""
    made = [row.artifact.manifest["made"] for row in rows if row.how == "made"]
    return {name: sum(float(cost.get(name, 0)) for cost in made) for name in COSTS}


def _row(row: Row, expected: Mapping[str, float], find: Find) -> str:
    costs = " | ".join(_costs(row.artifact.manifest["made"], expected if row.how == "made" else {}))
    name = f"`{row.artifact.label}/{row.artifact.key}`"
    return f"| {row.stage} | {name} | {row.how} | {costs} | {made_by(row.artifact, find)} |"


def _costs(cost: Mapping[str, Any], expected: Mapping[str, float]) -> list[str]:
    units = (("duration_s", 1.0, "s"), ("energy_kwh", GRAMS, "Wh"), ("emissions_kg", GRAMS, "g"))
    said = [f"{float(cost.get(name, 0)) * factor:,.2f} {unit}" for name, factor, unit in units]
    wanted = [f" ({expected[name] * factor:,.2f} expected)" if name in expected else "" for name, factor, _ in units]
    return [one + more for one, more in zip(said, wanted, strict=True)]


def _files(sources: Sequence[Source]) -> list[str]:
    lines = ["| source | file | bytes | sha256 |", "|---|---|---|---|"]
    lines += [
        f"| {one.role} | {_cell(one.file)} | {one.size_bytes:,} | `{one.sha256}` |" for one in sources[:FILES_SHOWN]
    ]
    if len(sources) > FILES_SHOWN:
        lines += ["", f"and {len(sources) - FILES_SHOWN:,} more files; `sources.csv`, below Artifacts, lists all."]
    return lines


def _cell(text: str) -> str:
    """Write a name so that a table's cell holds it."""
    return text.replace("|", "\\|").replace("\n", " ")
