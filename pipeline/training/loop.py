"""The loop: step, log, evaluate, checkpoint; the same for pretraining and fine-tuning."""

import json
import logging
import math
import re
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pipeline.core.errors import DataError
from pipeline.core.fingerprint import key_of
from pipeline.core.seeds import seed_of
from pipeline.model import huggingface
from pipeline.model.bert import initialize
from pipeline.model.heads import Learner
from pipeline.training import checkpoint, journal
from pipeline.training.batches import Loader, Masks, MicroBatch, Rows
from pipeline.training.checkpoint import State
from pipeline.training.jobs import Job, job_of
from pipeline.training.journal import Journal, Line
from pipeline.training.order import Order
from pipeline.training.results import write_results
from pipeline.training.schedule import learning_rate
from pipeline.training.zero import Engine, Ranks

log = logging.getLogger(__name__)

KEYED = re.compile(r"^/.*/([0-9a-f]{12}(?:/.*)?)$")
"""A path to an artifact or piece, which is named by its key wherever the store lies."""
GPU_MULTIPLE = 8
"""Tokens; matrix units want lengths that are multiples of eight."""

Sums = dict[str, tuple[float, float, float]]
"""Objective -> loss_sum, count, correct, over all ranks."""


def run(order: Order, ranks: Ranks) -> None:
    """Carry out an order from its newest checkpoint to the files in `out`.

    Raises: DataError if the data are unusable or the loss is not finite.
    """
    job = job_of(order)
    learner = _learner(order, job)
    step, state = _resume(order, ranks)
    engine = Engine(learner, ranks, order.optimizer, order.run, order.precision, state)
    del state
    Trainer(order, job, ranks, engine, step).train()
    final = engine.gather()
    if final is not None:
        write_results(order, job, final, journal.read_lines(_journal_path(order)))
    ranks.agree(None)  # nobody leaves before the files are there
    engine.close()


def identity(order: Order) -> str:
    """Name what an order asks for; how and where it runs apart, so that a store may be moved while a run rests."""
    plain = order.as_dict()
    asked = {name: value for name, value in plain.items() if name not in ("out", "work", "run", "log_every")}
    return key_of(_without_root(asked))


def _without_root(value: Any) -> Any:
    """Cut paths into a store to what names the data: the key, and what lies below it."""
    if isinstance(value, dict):
        return {name: _without_root(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_root(item) for item in value]
    in_store = KEYED.search(value) if isinstance(value, str) else None
    return in_store[1] if in_store else value


class Trainer:
    """Training from one step to the last."""

    def __init__(self, order: Order, job: Job, ranks: Ranks, engine: Engine, step: int) -> None:
        self._order, self._job, self._ranks, self._engine, self._step = order, job, ranks, engine, step
        self._journal = Journal(_journal_path(order)) if ranks.rank == 0 else None
        self._checkpointed = time.monotonic()

    def train(self) -> None:
        """Take all remaining steps."""
        self._engine.train(True)
        while self._step < self._job.steps:
            self._step += 1
            line, due = self._take_step()
            self._note(line)
            stretch, _ = self._job.locate(self._step)
            if self._evaluation_due():
                self._evaluate(stretch)
            if due and self._step < self._job.steps:
                self._save()
        if self._journal:
            self._journal.close()

    def _take_step(self) -> tuple[Line, bool]:
        begin = time.perf_counter()
        at, within = self._job.locate(self._step)
        stretch = self._job.stretches[at]
        rows_B, epochs_B = stretch.sampler.take(within)
        batches = list(self._loader(stretch.rows, stretch.masks).load(rows_B, epochs_B))
        waited = time.perf_counter() - begin
        counts = self._count(batches)
        sums, due = self._forward_backward(batches, counts)
        line: Line = {"step": self._step, "phase": at, **_losses(sums)}
        self._refuse("loss", line["loss"])
        rate = learning_rate(
            self._order.schedule, peak=self._order.optimizer.learning_rate, step=self._step, steps=self._job.steps
        )
        norm = self._engine.update(rate)
        if self._order.precision != "fp16":
            self._refuse("gradient norm", norm)
        seconds = time.perf_counter() - begin
        line |= {"learning_rate": rate, "gradient_norm": norm, "sequences": len(rows_B), "tokens": counts["tokens"]}
        line |= {"cells": counts["cells"], "seconds": round(seconds, 6), "data_seconds": round(waited, 6)}
        return line | {"tokens_per_second": round(counts["tokens"] / seconds, 1)}, due

    def _count(self, batches: list[MicroBatch]) -> dict[str, int]:
        """Count over all ranks what this step predicts, before it is predicted: losses are divided by it."""
        counts = [batch.counts() for batch in batches]
        totals = self._ranks.sum([float(sum(count[name] for count in counts)) for name in counts[0]])
        return {name: int(total) for name, total in zip(counts[0], totals, strict=True)}

    def _forward_backward(self, batches: list[MicroBatch], counts: dict[str, int]) -> tuple[Sums, bool]:
        """Return what the step's losses add up to, and whether rank 0 wants a checkpoint after it."""
        terms = []
        for at, batch in enumerate(batches):
            # Dropout is the only draw from a global generator: seeded for this very micro-batch, so that a resumed
            # run draws the same.
            torch.manual_seed(seed_of(self._order.seed, "dropout", self._step, self._ranks.rank, at))
            parts = self._engine.forward(batch)
            loss = sum(loss_sum / max(1, _divisor(name, counts)) for name, (loss_sum, _, _) in parts.items())
            self._engine.backward(loss, last=at + 1 == len(batches))
            terms.append(parts)
        return self._add_up(terms, wish=float(self._checkpoint_due()))

    def _add_up(self, terms: Iterable[dict[str, Any]], *, wish: float = 0.0) -> tuple[Sums, bool]:
        names = list(self._job.objectives)
        local = torch.zeros(3 * len(names), dtype=torch.float64, device=self._ranks.device)
        for parts in terms:
            local += torch.stack([value.detach().double() for name in names for value in parts[name]])
        *totals, wishes = self._ranks.sum([*local.tolist(), wish])
        sums = {name: (totals[3 * at], totals[3 * at + 1], totals[3 * at + 2]) for at, name in enumerate(names)}
        return sums, wishes > 0

    def _evaluation_due(self) -> bool:
        every, (at, within) = self._order.evaluate_every, self._job.locate(self._step)
        return within + 1 == self._job.stretches[at].steps or (every is not None and self._step % every == 0)

    @torch.no_grad()
    def _evaluate(self, at: int) -> None:
        stretch = self._job.stretches[at]
        if stretch.held_out is None:
            return
        self._engine.train(False)
        loader = self._loader(stretch.held_out, stretch.held_out_masks)
        sums, _ = self._add_up(self._engine.forward(batch) for batch in loader.all_rows())
        self._engine.train(True)
        line = {"step": self._step, "phase": at}
        self._note(line | {f"held_out_{name}": value for name, value in _losses(sums).items()})

    def _checkpoint_due(self) -> bool:
        """Decide on rank 0 alone: clocks differ."""
        run = self._order.run
        if self._ranks.rank != 0:
            return False
        late = run.checkpoint_seconds is not None and time.monotonic() - self._checkpointed >= run.checkpoint_seconds
        return late or (run.checkpoint_steps is not None and self._step % run.checkpoint_steps == 0)

    def _save(self) -> None:
        state = self._engine.gather()
        if state is not None and self._journal is not None:
            self._journal.flush(to_disk=True)  # a checkpoint promises that the curve up to it is there
            work, keep = Path(self._order.work), self._order.run.keep_checkpoints
            checkpoint.write(work, state, step=self._step, order=identity(self._order), keep=keep)
        self._checkpointed = time.monotonic()

    def _note(self, line: Line) -> None:
        if self._journal is not None:
            self._journal.append(line)
            if self._step % self._order.log_every == 0 or "loss" not in line or self._step == self._job.steps:
                self._journal.flush()

    def _loader(self, rows: Rows, masks: Masks | None) -> Loader:
        device, multiple = self._ranks.device, GPU_MULTIPLE if self._ranks.device.type == "cuda" else 1
        return Loader(rows, masks, self._ranks.rank, self._ranks.count, self._order.run.micro_batch, device, multiple)

    def _refuse(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            rate = self._order.optimizer.learning_rate
            raise DataError(
                f"step {self._step}: the {what} is {value}; lower optimizer.learning_rate={rate} or raise "
                f"schedule.warmup_steps={self._order.schedule.warmup_steps}"
            )


def _divisor(objective: str, counts: dict[str, int]) -> int:
    return counts["predicted"] if objective == "mlm" else counts["pairs"]


def _losses(sums: Sums) -> Line:
    """Turn sums into means; None where nothing was predicted."""
    line: Line = {"loss": sum(loss_sum / max(1, count) for loss_sum, count, _ in sums.values())}
    for name, (loss_sum, count, correct) in sums.items():
        line[f"{name}_loss"] = loss_sum / count if count else None
        line[f"{name}_accuracy"] = correct / count if count else None
    return line


def _learner(order: Order, job: Job) -> Learner:
    learner = Learner(order.shape, job.objectives)
    initialize(learner, order.shape, seed_of(order.seed, "weights"))
    if order.init is not None:
        huggingface.start_from(learner, Path(order.init))
    return learner


def _resume(order: Order, ranks: Ranks) -> tuple[int, State | None]:
    """Find where to go on from, and cut the journal back to there; the state comes on rank 0."""
    step, state = 0, None
    if ranks.rank == 0:
        work, path = Path(order.work), _journal_path(order)
        found = checkpoint.newest(work, order=identity(order), until=journal.last_step(path))
        for reason in found.rejected:
            log.warning("checkpoint rejected: %s", reason)
        if found.checkpoint is not None:
            step, state = found.checkpoint.step, found.checkpoint.load()
        journal.cut(path, until=step)
        _record_attempt(order, ranks, step, found.rejected)
    return ranks.agree(step), state


def _record_attempt(order: Order, ranks: Ranks, step: int, rejected: tuple[str, ...]) -> None:
    line = {"at": time.time(), "ranks": ranks.count, "resumed_at_step": step, "rejected": rejected}
    with (Path(order.work) / "attempts.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line | {"run": asdict(order.run)}) + "\n")


def _journal_path(order: Order) -> Path:
    return Path(order.work) / "curve.jsonl"
