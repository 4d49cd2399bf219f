"""What became of a step, as the person at the terminal reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from rich.table import Table

from flows.units import energy, mass
from pipeline.core.energy import certainty
from pipeline.core.store import Artifact
from pipeline.core.tracking import without_passwords
from pipeline.estimate import Estimate
from pipeline.running import Run
from pipeline.starts import TUNED


@dataclass(frozen=True)
class Outcome:
    """A step's artifact, and whether this run made it."""

    name: str
    artifact: Artifact
    made: bool

    @property
    def is_start(self) -> bool:
        """Whether others only begin from it, and it is nothing that the recipe asks for: a plan names it by its key."""
        return self.name == f"{self.artifact.label}-{self.artifact.key}"


def table_of(outcomes: Sequence[Outcome], country: str, estimates: Mapping[str, Estimate] | None = None) -> Table:
    """Lay out what was made, what it cost when it was made, and beside it what had been estimated."""
    planned = estimates or {}
    method = _method(outcomes)
    table = Table(title="artifacts", title_justify="left", box=None, pad_edge=False, caption_justify="left")
    table.add_column("stage", overflow="fold")
    table.add_column("")
    for name in ("time", f"energy ({method})" if method else "energy", f"CO2 ({country})"):
        for column in (name, "plan") if planned else (name,):
            table.add_column(column, justify="right")
    table.add_column("artifact", no_wrap=True)  # it is copied from here
    for outcome in outcomes:
        table.add_row(
            outcome.name,
            "made" if outcome.made else "cached",
            *_costs(outcome, planned, marked=not method),
            f"{outcome.artifact.label}/{outcome.artifact.key}",
        )
    table.caption = "\n".join(_sources(outcomes)) or None
    return table


def _costs(outcome: Outcome, planned: Mapping[str, Estimate], *, marked: bool) -> list[str]:
    made = outcome.artifact.manifest["made"]
    spent = [duration(made["duration_s"]), energy(made["energy_kwh"]), mass(made["emissions_kg"])]
    if marked and (how := certainty(made)) != "measured":
        spent[1] += f" {how}"
    if not planned:
        return spent
    plan = planned.get(outcome.name)
    told = [duration(plan.seconds), energy(plan.energy_kwh), mass(plan.emissions_kg)] if plan else [""] * 3
    return [cell for pair in zip(spent, told, strict=True) for cell in pair]


def _method(outcomes: Sequence[Outcome]) -> str:
    """Say once how far to trust the energy of all rows, where it is the same for all and they are not measured."""
    found = {certainty(outcome.artifact.manifest["made"]) for outcome in outcomes}
    return found.pop() if len(found) == 1 and found != {"measured"} else ""


def _sources(outcomes: Sequence[Outcome]) -> list[str]:
    """Name how energy was found and what electricity is taken to emit, each way once."""
    lines = []
    for made in (outcome.artifact.manifest["made"] for outcome in outcomes):
        if "energy_method" in made:
            lines.append(f"energy: {made['energy_method']}")
            lines.append(f"CO2: {made['grid_g_per_kwh']:g} g/kWh, {made['country']} ({made['grid_source']})")
    return list(dict.fromkeys(lines))


def funnel_of(facts: Mapping[str, Any]) -> Table:
    """Lay out what became of the documents of a corpus: read, left out by step and reason, kept."""
    table = Table(title="documents", title_justify="left", box=None, pad_edge=False)
    for name, justify in (("", "right"), ("", "left"), ("", "left")):
        table.add_column(name, justify=cast(Literal["left", "right"], justify))
    dropped = facts["dropped"]
    found = facts["read"] + facts["empty"] + facts["skipped"] + _before_shards(dropped)
    table.add_row(f"{found:,}", "found", "")
    for name, why in (("skipped", "could not be parsed"), ("empty", "held no text")):
        if facts[name]:
            table.add_row(f"-{facts[name]:,}", name, why)
    for reason, count in dropped.items():
        step, _, why = reason.partition(": ")
        table.add_row(f"-{count:,}", step, why)
    table.add_row(f"{facts['documents']:,}", "kept", "")
    if clusters := facts["clusters"].get("largest"):
        more = f"; near_duplicates.arrow lists all {facts['clusters']['count']:,} clusters"
        table.caption = f"largest cluster: {clusters[0]['kept']} kept for {clusters[0]['documents_removed']:,}{more}"
    return table


def _before_shards(dropped: Mapping[str, int]) -> int:
    """Count what the cleaning steps left out; what was left out later had been read."""
    later = ("exclude", "duplicates", "near_duplicates")
    return sum(count for reason, count in dropped.items() if reason.partition(":")[0] not in later)


def duration(seconds: float) -> str:
    """Write a time as people read it: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def findings(outcomes: Sequence[Outcome]) -> list[str]:
    """Say in a line each what the models reached."""
    lines = []
    for outcome in outcomes:
        if outcome.is_start:
            continue
        facts = outcome.artifact.manifest["facts"]
        if outcome.artifact.label == "pretrain":
            lines += [f"pretrain: loss {facts['curve']}", _pretrained(facts)]
        if outcome.artifact.label in TUNED:
            lines.append(_finetuned(outcome.name, facts))
    return lines


def _pretrained(facts: dict[str, Any]) -> str:
    if "held_out_mlm_loss" not in facts:
        return "pretrain: no held-out MLM loss; recipe.examples.held_out_fraction held no document out"
    loss, entropy = facts["held_out_mlm_loss"], facts["unigram_entropy_nats"]
    verdict = "below" if loss < entropy else "NOT below"
    return (
        f"pretrain: held-out MLM loss {loss:.3f} nats (perplexity {facts['held_out_mlm_perplexity']:,.1f}), "
        f"{verdict} the corpus's unigram entropy of {entropy:.3f} nats"
    )


def _finetuned(name: str, facts: dict[str, Any]) -> str:
    scores = ", ".join(f"{metric} {value:.3f}" for metric, value in facts["dev"].items())
    best = f", the best of {facts['trials']} trials" if facts.get("trials") else ""
    return f"{name}: {scores} on {facts['rows']['dev']} development rows{best}"


def next_commands(outcomes: Sequence[Outcome], run: Run) -> list[str]:
    """Name the commands to try next."""
    place = f" --store {run.store}" if run.store != "store" else ""
    record = run.tracking_uri or f"sqlite:///{run.store}/mlflow.db"
    made = [one.artifact for one in outcomes if not one.is_start]
    pretrained = [one.key for one in made if one.label == "pretrain"]
    tuned = [one.key for one in made if one.label in TUNED]
    if not (models := pretrained or tuned):
        return [f"pretrace show{place}"]
    key = models[-1]
    filled = f'pretrace fill {key} "Paris is the [MASK] of France."{place}'
    return [
        filled if pretrained else f"pretrace embed {key} FILE{place}",
        f"pretrace export {key} my-bert{place}",
        f"pretrace audit {key}{place}",
        f"pretrace show {key}{place}",
        f"mlflow ui --backend-store-uri {record}" if record.startswith("sqlite:") else without_passwords(record),
    ]
