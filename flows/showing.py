"""`pretrace plan`, `show` and `why`: what is there, what is missing, and why."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from flows.budget import over_budget
from flows.outcome import duration, funnel_of
from flows.progress import console
from flows.units import counted, energy, mass
from pipeline.config import SweepSlice
from pipeline.core.energy import certainty
from pipeline.core.errors import ConfigError
from pipeline.core.grid import Grid, grid_of
from pipeline.core.stage import Step
from pipeline.core.store import Artifact, Store
from pipeline.estimate import Estimate, estimate
from pipeline.running import Run


def show_plan(steps: Sequence[Step], store: Store, run: Run) -> None:
    """Print each step, its artifact, whether it is there, what it is made from, and what it would cost to make.

    Raises: ConfigError if codecarbon knows no such country.
    """
    table = Table(box=None, pad_edge=False)
    for name in ("step", "artifact", "", "made from"):
        table.add_column(name)
    for step in steps:
        found = ("there" if store.find(step) else _draft(step, store)) + _trials(step)
        used = dict.fromkeys(needed.name for needed in step.inputs.values())
        files = [f"{counted(len(files), 'file')} ({role})" for role, files in step.sources.items()]
        table.add_row(step.name, f"{step.label}/{step.key}", found, ", ".join([*used, *files]))
    out = console()
    out.print(table)
    if planned := estimate(steps, store, run):
        out.print()
        out.print(_estimates(planned, grid_of(run.country, run.grid_g_per_kwh)))
        if problem := over_budget(steps, store, run, sum(plan.emissions_kg for plan in planned.values())):
            out.print(problem, highlight=False, soft_wrap=True)


def _estimates(planned: Mapping[str, Estimate], grid: Grid) -> Table:
    """Lay out what each step that is not made would cost, and all of them."""
    table = Table(title="estimates", title_justify="left", box=None, pad_edge=False, caption_justify="left")
    for name in ("step", "time", "energy", f"CO2 ({grid.country})", "disk", "basis"):
        table.add_column(name, justify="left" if name in ("step", "basis") else "right", no_wrap=name != "basis")
    for name, plan in planned.items():
        table.add_row(name, *_cells([plan]), plan.basis)
    if len(planned) > 1:
        table.add_row("total", *_cells(list(planned.values())))
    scratch = max(plan.scratch_bytes for plan in planned.values())
    table.caption = "\n".join(
        [f"CO2 at {grid.g_per_kwh:g} g/kWh ({grid.source})"]
        + ([f"checkpoints take up to {size(scratch)} more while ranks train"] if scratch else [])
    )
    return table


def _cells(plans: Sequence[Estimate]) -> list[str]:
    return [
        duration(sum(plan.seconds for plan in plans)),
        energy(sum(plan.energy_kwh for plan in plans)),
        mass(sum(plan.emissions_kg for plan in plans)),
        size(sum(plan.disk_bytes for plan in plans)),
    ]


def _draft(step: Step, store: Store) -> str:
    return "to resume" if store.folder(step).exists() else "to make"


def _trials(step: Step) -> str:
    return f", {counted(step.config.sweep.trials, 'trial')}" if isinstance(step.config, SweepSlice) else ""


def show_artifacts(store: Store, label: str | None) -> None:
    """Print the artifacts of a store, or those of one label."""
    table = Table(box=None, pad_edge=False)
    for name in ("artifact", "made", "took", "energy", "CO2", "size", "facts"):
        table.add_column(name, no_wrap=name != "facts")
    for artifact in store.all(label or "*"):
        made = artifact.manifest["made"]
        name = f"{artifact.label}/{artifact.key}"
        took = duration(made["duration_s"])
        cost = _energy(made), mass(made["emissions_kg"])
        table.add_row(name, made["at"][:16], took, *cost, size(artifact.size_bytes), _facts(artifact))
    console().print(table)


def show_artifact(store: Store, artifact: Artifact) -> None:
    """Print all that is known of one artifact."""
    out = console()
    manifest = artifact.manifest
    out.print(f"[bold]{artifact.label}/{artifact.key}[/bold]  {artifact.path}", highlight=False)
    out.print(cost_of(manifest["made"]), highlight=False, soft_wrap=True)
    for name in ("config", "inputs", "sources", "facts", "made"):
        out.print(f"[bold]{name}[/bold]")
        out.print_json(json.dumps(manifest[name]))
    if artifact.label == "corpus":
        out.print(funnel_of(manifest["facts"]))
    table = Table("file", "bytes", "rows", "sha256", box=None, pad_edge=False)
    for entry in manifest["files"]:
        table.add_row(entry["name"], f"{entry['bytes']:,}", str(entry.get("rows", "")), entry["sha256"][:16])
    out.print(table)


def cost_of(made: Mapping[str, Any]) -> str:
    """Say in a line what an artifact cost: all attempts at it, and with all that it was made from."""
    attempts = int(made.get("attempts", 1))
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    line = f"cost: {duration(made['duration_s'])}, {_energy(made)}, {mass(made['emissions_kg'])} CO2e in {tries}"
    if "energy_kwh_total" not in made:
        return line
    whole = f"{_energy(made, 'energy_kwh_total')}, {mass(made['emissions_kg_total'])} CO2e"
    return f"{line}; with all that it was made from {duration(made['duration_s_total'])}, {whole}"


def _energy(made: Mapping[str, Any], name: str = "energy_kwh") -> str:
    """Write an amount of energy and whether it is an estimate."""
    how = certainty(made)
    return energy(made[name]) + ("" if how == "measured" else f" ({how})")


def show_why(label: str, steps: Sequence[Step], store: Store) -> None:
    """Print in what each step of a stage differs from the nearest artifact of that stage.

    Raises: ConfigError if the plan has no such stage.
    """
    wanted = [step for step in steps if label in (step.label, step.name)]
    if not wanted:
        names = ", ".join(dict.fromkeys(step.label for step in steps))
        raise ConfigError(f"{label}: is not a stage of this plan; it has {names}")
    out = console()
    for step in wanted:
        out.print(_why(step, store), highlight=False, markup=False)


def _why(step: Step, store: Store) -> str:
    if store.find(step):
        return f"{step.name}: {step.key} is there; nothing to make"
    if not store.all(step.label):
        return f"{step.name}: {step.key} is not there, and no other {step.label} is"
    lines = [f"  {path}: {_short(old)} -> {_short(new)}" for path, (old, new) in store.why(step).items()]
    return "\n".join([f"{step.name}: {step.key} is not there; the nearest differs in", *lines])


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _facts(artifact: Artifact) -> str:
    plain = {name: value for name, value in artifact.manifest["facts"].items() if isinstance(value, int | float | str)}
    return ", ".join(
        f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in plain.items()
    )


def size(count: float) -> str:
    """Write a number of bytes as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
