"""The table and the picture of benchmarks/transfer.py, from the trials of the sweeps in its store."""

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from transfer_data import Tuned

ENOUGH = 2.0
"""Differences below this many standard errors are called nothing."""
CAVEATS = (
    "- Scores are of development rows; they chose the learning rate too (two rates a start and task, with the first seed).",
    "- `shown`: the difference is more than two standard errors of it, which count seeds alone, not which rows were drawn.",
    "- all-MiniLM-L6-v2 is six times as large, trained on a thousand million pairs of sentences, some of them questions",
    "  and entailments of the kind that is asked here, and was tuned for fewer epochs: it shows the scale, no more.",
)
COLOURS = {"scratch": "#999999", "pretrained": "#1b7837", "all-MiniLM-L6": "#2166ac"}


@dataclass(frozen=True)
class Score:
    """What one trial reached on the development set."""

    task: str
    start: str
    seed: int
    learning_rate: float
    value: float
    seconds: float
    final: bool
    """Whether it is one of the table's, not one that chose a learning rate."""
    guess: float
    """What the commonest answer, or a blind one, would reach."""


def read_scores(store: Path, starts: Mapping[str, str]) -> list[Score]:
    """Read the trials of all sweeps."""
    import pyarrow.parquet as pq

    found = []
    for path in sorted(store.glob("sweep/*/manifest.json")):
        manifest = json.loads(path.read_text())
        facts, config = manifest["facts"], manifest["config"]
        table = pq.read_table(path.with_name("trials.parquet")).to_pylist()
        start = _start(facts["init"])
        metric = next(iter(facts["dev"]))
        guess = _guess(path.parent, facts)
        for row in table:
            final = config["sweep"]["seeds"] > 1
            place = facts["task"], start, row["seed"], row["learning_rate"]
            found.append(Score(*place, row[metric], row["seconds"], final, guess))
    return found


def _start(init: str) -> str:
    return {"scratch": "scratch", "pretrain": "pretrained"}.get(init.partition("/")[0], "all-MiniLM-L6")


def _guess(artifact: Path, facts: Mapping[str, Any]) -> float:
    """Give what the commonest label of the development set scores, where accuracy is what counts."""
    import pyarrow.parquet as pq

    if next(iter(facts["dev"])) != "accuracy":
        return 0.0
    rows = pq.read_table(artifact / "predictions.parquet", columns=["label", "split"]).to_pylist()
    labels = [row["label"] for row in rows if row["split"] == "dev"]
    return max(labels.count(one) for one in set(labels)) / len(labels)


def best_rate(scores: Sequence[Score], task: Tuned, start: str) -> float:
    """Give the learning rate that did best with one seed, the lower of equal ones."""
    tried = [one for one in scores if (one.task, one.start, one.final) == (task.task, start, False)]
    return max(sorted(tried, key=lambda one: one.learning_rate), key=lambda one: one.value).learning_rate


def preface(store: Path) -> str:
    """Say what was pretrained, on what machine, and what to bear in mind."""
    found = [json.loads(path.read_text()) for path in sorted(store.glob("pretrain/*/manifest.json"))]
    lines = ["# transfer: what pretraining gives, against random weights and a real BERT", ""]
    for facts in (one["facts"] for one in found):
        lines += [
            f"Pretrained: {facts['parameters'] / 1e6:.1f} M weights on {facts['tokens'] / 1e6:.1f} M tokens in "
            f"{facts['steps']} steps; held-out loss {facts['held_out_mlm_loss']:.3f} nats, the text's unigram entropy "
            f"{facts['unigram_entropy_nats']:.3f}."
        ]
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "deepspeed", "ray"))
    lines += [
        f"{date.today()}, {os.cpu_count()} cores, {platform.machine()}, python {platform.python_version()}, {versions}."
    ]
    return "\n".join([*lines, "", *CAVEATS, "", ""])


def table_of(scores: Sequence[Score], tasks: Mapping[str, Tuned], costs: Sequence[Mapping[str, Any]]) -> str:
    """Write the table as markdown: mean and deviation over seeds, the difference, what it took."""
    head = "| task | metric | commonest answer | scratch | pretrained | difference | shown? | all-MiniLM-L6 |"
    lines = [head, "|" + "---|" * 8]
    for task in tasks.values():
        groups = {start: _values(scores, task, start) for start in COLOURS}
        if groups["pretrained"] and groups["scratch"]:
            lines.append(_line(task, groups, next(one.guess for one in scores if one.task == task.task)))
    rates = sorted({(one.task, one.start, one.learning_rate) for one in scores if one.final})
    lines += ["", "Learning rates: " + "; ".join(f"{task} {start} {rate:g}" for task, start, rate in rates) + "."]
    seeds = {start: {len(_values(scores, task, start)) for task in tasks.values()} for start in COLOURS}
    told = "; ".join(f"{start} {', '.join(map(str, sorted(counts)))}" for start, counts in seeds.items())
    lines += [f"Seeds a figure: {told}. Mean ± standard deviation over them.", ""]
    lines += ["| run | minutes | CPU minutes | load of the last 15 minutes |", "|---|---|---|---|"]
    for one in costs:
        times = one["seconds"] / 60, one["cpu_seconds"] / 60
        lines.append(f"| {one['run']} | {times[0]:.1f} | {times[1]:.1f} | {one['load']:.1f} |")
    return "\n".join(lines) + "\n"


def _values(scores: Sequence[Score], task: Tuned, start: str) -> list[float]:
    return [one.value for one in scores if (one.task, one.start, one.final) == (task.task, start, True)]


def _line(task: Tuned, groups: Mapping[str, Sequence[float]], guess: float) -> str:
    pretrained, scratch = groups["pretrained"], groups["scratch"]
    difference = fmean(pretrained) - fmean(scratch)
    error = math.sqrt(sum(_deviation(one) ** 2 / len(one) for one in (pretrained, scratch)))
    shown = "yes" if abs(difference) > ENOUGH * error else "no"
    cells = [
        task.title,
        task.metric,
        f"{guess:.3f}" if guess else "",
        _told(scratch),
        _told(pretrained),
        f"{difference:+.3f} ± {error:.3f}",
        shown,
        _told(groups["all-MiniLM-L6"]),
    ]
    return "| " + " | ".join(cells) + " |"


def _told(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f} ± {_deviation(values):.3f}" if values else "-"


def _deviation(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def draw(scores: Sequence[Score], tasks: Mapping[str, Tuned], path: Path) -> None:
    """Draw a bar a start with its deviation, and every seed as a point."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for at, (start, colour) in enumerate(COLOURS.items()):
        for place, task in enumerate(tasks.values()):
            values = _values(scores, task, start)
            if values:
                x = place + 0.27 * (at - 1)
                label = start if not place else None
                axes.bar(x, fmean(values), 0.25, yerr=_deviation(values), color=colour, alpha=0.75, label=label)
                axes.plot([x] * len(values), values, ".", color="black", markersize=3)
    axes.set_xticks(range(len(tasks)), [f"{one.title}\n{one.metric}" for one in tasks.values()], fontsize=8)
    axes.set_ylim(0, 1)
    axes.set_ylabel("on the development set")
    axes.legend(frameon=False)
    FigureCanvasAgg(figure).print_figure(path, dpi=150)
