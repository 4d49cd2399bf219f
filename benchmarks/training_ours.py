"""Our side of the training benchmarks: an order carried out as `pretrace run` does, and a bare torch loop to hold it against."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from training_peer import Stamp, loader, stamp

from pipeline.training.order import Order


def train(order: Order) -> dict[str, Any]:
    """Carry out an order on one rank: the clocks after each step, the journal's lines, the held-out loss.

    The first stamp is taken when the loop begins; the module and its engine are made by then, as on the peer's side.
    """
    from pipeline.training import journal, loop
    from pipeline.training.rank import carry_out

    shutil.rmtree(order.work, ignore_errors=True)
    Path(order.work).mkdir(parents=True)
    stamps: list[Stamp] = []
    append, begin = journal.Journal.append, loop.Trainer.train

    def stamped(self: Any, line: dict[str, Any]) -> None:
        append(self, line)
        if "loss" in line:
            stamps.append(stamp(order.run.device))

    def begun(self: Any) -> None:
        stamps.append(stamp(order.run.device))
        begin(self)

    journal.Journal.append, loop.Trainer.train = stamped, begun  # type: ignore[method-assign]
    try:
        carry_out(order)
    finally:
        journal.Journal.append, loop.Trainer.train = append, begin  # type: ignore[method-assign]
    lines = journal.read_lines(Path(order.work) / "curve.jsonl")
    steps = [line for line in lines if "loss" in line]
    held_out = [line for line in lines if "held_out_mlm_loss" in line]
    found: dict[str, Any] = {"stamps": stamps, "tokens": [line["tokens"] for line in steps], "lines": steps}
    if held_out:
        found |= {"held_out_loss": held_out[-1]["held_out_mlm_loss"], "steps_evaluated": len(held_out)}
        found |= {"held_out_accuracy": held_out[-1]["held_out_mlm_accuracy"]}
    return found


def bare(order: Order) -> dict[str, Any]:
    """Train the same model on the same batches in a loop of plain torch: forward, backward, clip, AdamW, and no more.

    Batches are made while the clock runs, as they are for the engine.
    """
    from pipeline.core.seeds import seed_of
    from pipeline.model.encoder import initialize
    from pipeline.model.heads import Learner
    from pipeline.training.jobs import job_of

    torch.set_num_threads(1)
    job = job_of(order)
    learner = Learner(order.shape, job.objectives)
    initialize(learner, order.shape, seed_of(order.seed, "weights"))
    optimizer = torch.optim.AdamW(learner.parameters(), lr=order.optimizer.learning_rate, fused=True)
    stamps, tokens = [stamp("cpu")], []
    for step in range(1, job.steps + 1):
        at, within = job.locate(step)
        rows = job.stretches[at].sampler.take(within)
        batches = list(loader(job.stretches[at], order.run.micro_batch).load(*rows))
        predicted = sum(len(batch.predicted_M) for batch in batches)
        pairs = sum(batch.counts()["labels"] for batch in batches)
        for batch in batches:
            parts = learner(batch)
            sums = {name: part[0] for name, part in parts.items()}
            loss = sum(part / max(1, predicted if name == "mlm" else pairs) for name, part in sums.items())
            loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), order.optimizer.clip)
        optimizer.step()
        optimizer.zero_grad()
        tokens.append(sum(batch.tokens for batch in batches))
        stamps.append(stamp("cpu"))
    return {"stamps": stamps, "tokens": tokens}


def loading(order: Order) -> dict[str, Any]:
    """Load every batch of an order and do nothing with it."""
    from pipeline.training.jobs import job_of

    job = job_of(order)
    stamps, tokens, cells = [stamp("cpu")], [], []
    for step in range(1, job.steps + 1):
        at, within = job.locate(step)
        rows = job.stretches[at].sampler.take(within)
        batches = list(loader(job.stretches[at], order.run.micro_batch).load(*rows))
        tokens.append(sum(batch.tokens for batch in batches))
        cells.append(sum(batch.ids_BT.numel() for batch in batches))
        stamps.append(stamp("cpu"))
    return {"stamps": stamps, "tokens": tokens, "cells": cells}


def gang(order: Order) -> dict[str, Any]:
    """Carry out an order on the one rank of a Ray Train group."""
    from cluster.ray_compute import RayCompute

    path = Path(order.out).with_name("order.json")
    with RayCompute(address=None, workers=1, ranks=1, state=path.with_name("ray")) as place:
        place.gang(f"{Path(__file__).stem}:train_and_note", path, lambda: None)
    found: dict[str, Any] = json.loads(path.with_name("found.json").read_text())
    return found


def train_and_note(path: Path) -> None:
    """Train as `train` does, in a process that somebody else started, and leave what it gives beside the order."""
    path.with_name("found.json").write_text(json.dumps(train(Order.read(path))))


def profile(order: Order) -> Iterator[str]:
    """Yield a table of where the time of some bare steps goes, by operation."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CPU]) as found:
        bare(order)
    yield found.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=50)


CHILDREN: dict[str, Callable[[Order], dict[str, Any]]] = {"ours": train, "bare": bare, "loading": loading, "gang": gang}
