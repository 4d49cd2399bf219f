"""`pretrace plan`, `show` and `why`: what is there, what is missing, and why."""

import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from flows.outcome import duration, funnel_of
from flows.progress import console
from pipeline.core.errors import ConfigError
from pipeline.core.stage import Step
from pipeline.core.store import Artifact, Store


def show_plan(steps: Sequence[Step], store: Store) -> None:
    """Print each step, its artifact, whether it is there, and what it is made from."""
    table = Table(box=None, pad_edge=False)
    for name in ("step", "artifact", "", "made from"):
        table.add_column(name)
    for step in steps:
        found = "there" if store.find(step) else _draft(step, store)
        inputs = [f"{role}" for role in step.inputs] + [
            f"{len(files)} files ({role})" for role, files in step.sources.items()
        ]
        table.add_row(step.name, f"{step.label}/{step.key}", found, ", ".join(inputs))
    console().print(table)


def _draft(step: Step, store: Store) -> str:
    return "to resume" if store.folder(step).exists() else "to make"


def show_artifacts(store: Store, label: str | None) -> None:
    """Print the artifacts of a store, or those of one label."""
    table = Table(box=None, pad_edge=False)
    for name in ("artifact", "made", "took", "size", "facts"):
        table.add_column(name, no_wrap=name != "facts")
    for artifact in store.all(label or "*"):
        made = artifact.manifest["made"]
        name = f"{artifact.label}/{artifact.key}"
        table.add_row(name, made["at"][:16], duration(made["duration_s"]), size(artifact.size_bytes), _facts(artifact))
    console().print(table)


def show_artifact(store: Store, artifact: Artifact) -> None:
    """Print all that is known of one artifact."""
    out = console()
    manifest = artifact.manifest
    out.print(f"[bold]{artifact.label}/{artifact.key}[/bold]  {artifact.path}", highlight=False)
    for name in ("config", "inputs", "sources", "facts", "made"):
        out.print(f"[bold]{name}[/bold]")
        out.print_json(json.dumps(manifest[name]))
    if artifact.label == "corpus":
        out.print(funnel_of(manifest["facts"]))
    table = Table("file", "bytes", "rows", "sha256", box=None, pad_edge=False)
    for entry in manifest["files"]:
        table.add_row(entry["name"], f"{entry['bytes']:,}", str(entry.get("rows", "")), entry["sha256"][:16])
    out.print(table)


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
