"""The loop: step, log, evaluate, checkpoint; the same for pretraining and fine-tuning."""

import logging
import math
import resource
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.core.errors import DataError, Interrupted
from pipeline.core.seeds import seed_of
from pipeline.training.attempt import Start, engine_of, identity, journal_path, rewinds_of, start
from pipeline.training.batches import Loader, Masks, MicroBatch, Rows, multiple_on
from pipeline.training.checkpoint import State
from pipeline.training.feeding import Ahead
from pipeline.training.guard import Guard, Rewind, Spiked
from pipeline.training.jobs import Job, job_of, lays_packed
from pipeline.training.journal import Journal, Line, read_lines
from pipeline.training.order import Order
from pipeline.training.ranks import Ranks
from pipeline.training.results import write_results
from pipeline.training.saving import Saver
from pipeline.training.schedule import learning_rate
from pipeline.training.stopping import Stop
from pipeline.training.zero import Engine

log = logging.getLogger(__name__)

KILOBYTE = 1024

Sums = dict[str, tuple[float, float, float]]
"""Objective -> loss_sum, count, correct, over all ranks."""


def run(order: Order, ranks: Ranks) -> None:
    """Carry out an order from its newest checkpoint to the files in `out`.

    Raises: DataError if the data are unusable, or the loss is not finite or leaps too often; Interrupted if it was
    stopped after a checkpoint.
    """
    job = job_of(order)
    with Stop(order) as stop:
        final, rewind = _attempt(order, job, ranks, stop)
        while rewind is not None:
            _note(order, ranks, rewind)
            final, rewind = _attempt(order, job, ranks, stop)
    if final is not None:
        write_results(order, job, final, read_lines(journal_path(order)), rewinds_of(order).read())
    ranks.agree(None)  # nobody leaves before the files are there


def _attempt(order: Order, job: Job, ranks: Ranks, stop: Stop) -> tuple[State | None, Rewind | None]:
    """Train from the newest checkpoint to the end, or to a step that must not be kept."""
    begin, state = start(order, ranks)
    engine = engine_of(order, job, ranks, state)
    del state
    try:
        Trainer(order, job, ranks, engine, begin, stop).train()
        return engine.gather(), None
    except Spiked as spiked:
        return None, spiked.rewind
    finally:
        engine.close()


def _note(order: Order, ranks: Ranks, rewind: Rewind) -> None:
    """Write down which batch is passed over before training goes back.

    Raises: DataError if it went back too often.
    """
    before = ranks.agree(len(rewinds_of(order).read()) if ranks.rank == 0 else None)
    if before >= order.run.max_rewinds:
        raise DataError(
            f"step {rewind.step}: {rewind.reason}; lower learning_rate={order.optimizer.learning_rate} or "
            f"raise warmup_steps={order.schedule.warmup_steps} (went back {before} times for such steps, "
            f"run.max_rewinds={order.run.max_rewinds})"
        )
    if ranks.rank == 0:
        log.warning("step %d: %s; going back, past batch %d", rewind.step, rewind.reason, rewind.batch)
        rewinds_of(order).add(rewind)


@dataclass(frozen=True)
class Fed:
    """What one rank computes in a step."""

    step: int
    phase: int
    batch: int  # its number in the phase
    sequences: int  # of all ranks
    parts: list[MicroBatch]


class Trainer:
    """Training from one step to the last."""

    def __init__(self, order: Order, job: Job, ranks: Ranks, engine: Engine, begin: Start, stop: Stop) -> None:
        self._order, self._job, self._ranks, self._engine, self._stop = order, job, ranks, engine, stop
        self._step, self._skips = begin.step, begin.skips
        self._journal = Journal(journal_path(order)) if ranks.rank == 0 else None
        self._saver = Saver(order, identity(order), self._journal, begin.step, begin.skips)
        self._guard = Guard(order.run.spike_nats, begin.losses)
        self._packed = lays_packed(order, ranks.device)
        self._stalled = 0.0

    def train(self) -> None:
        """Take all remaining steps.

        Raises: Spiked at a step that must not be kept; Interrupted after a checkpoint that somebody asked for.
        """
        self._engine.train(True)
        try:
            with self._saver, Ahead(self._feed(self._step + 1)) as feed:
                while self._step < self._job.steps:
                    self._step += 1
                    self._advance(feed)
        finally:
            if self._journal:
                self._journal.close()

    def _feed(self, first: int) -> Iterator[Fed]:
        """Yield what every step from `first` on computes; runs in a thread, so it must not look at the loop's step."""
        for step in range(first, self._job.steps + 1):
            phase, within = self._job.locate(step)
            stretch = self._job.stretches[phase]
            batch = stretch.batch_of(within, frozenset(number for at, number in self._skips if at == phase))
            units_U, epochs_U = stretch.sampler.take(batch)
            parts = list(self._loader(stretch.rows, stretch.masks).load(units_U, epochs_U))
            yield Fed(step, phase, batch, len(units_U) * stretch.rows.per_unit, parts)

    def _advance(self, feed: Iterator[Fed]) -> None:
        line, due, stop = self._take_step(feed)
        self._note(line)
        if self._evaluation_due():
            self._evaluate(line["phase"])
        if (due or stop) and self._step < self._job.steps:
            self._stalled = self._saver.save(self._engine, self._step)
            if stop:
                self._interrupt()

    def _take_step(self, feed: Iterator[Fed]) -> tuple[Line, bool, bool]:
        """Return the journal's line, and whether a checkpoint and an end are wanted after the step."""
        begin = time.perf_counter()
        fed = next(feed)
        assert fed.step == self._step
        waited = time.perf_counter() - begin
        counts = self._count(fed.parts)
        sums, due, stop = self._forward_backward(fed.parts, counts)
        line: Line = {"step": self._step, "phase": fed.phase, **self._losses(sums)}
        self._refuse(fed, self._guard.look(fed.phase, line["loss"]))
        rate = learning_rate(
            self._order.schedule, peak=self._order.optimizer.learning_rate, step=self._step, steps=self._job.steps
        )
        norm = self._engine.update(rate)
        if self._order.precision != "fp16" and not math.isfinite(norm):  # there it is how the loss scale is found
            self._refuse(fed, f"the gradient norm is {norm}")
        seconds, stalled, self._stalled = time.perf_counter() - begin, self._stalled, 0.0
        line |= {"learning_rate": rate, "gradient_norm": norm, "sequences": fed.sequences, **self._told(counts)}
        line |= {"seconds": round(seconds, 6), "data_seconds": round(waited, 6)}
        return line | {"checkpoint_seconds": round(stalled, 6), "memory_bytes": self._memory()}, due, stop

    def _count(self, parts: list[MicroBatch]) -> dict[str, int]:
        """Count over all ranks what this step predicts, before it is predicted: losses are divided by it."""
        counts = [part.counts() for part in parts]
        totals = self._ranks.sum([float(sum(count[name] for count in counts)) for name in counts[0]])
        return {name: int(total) for name, total in zip(counts[0], totals, strict=True)}

    def _forward_backward(self, parts: list[MicroBatch], counts: dict[str, int]) -> tuple[Sums, bool, bool]:
        """Return what the step's losses add up to, and whether any rank wants a checkpoint or an end after it."""
        terms = []
        for at, part in enumerate(parts):
            # Dropout is the only draw from a global generator: seeded for this very micro-batch, so that a resumed
            # run draws the same.
            torch.manual_seed(seed_of(self._order.seed, "dropout", self._step, self._ranks.rank, at))
            sums = self._engine.forward(part)
            per = {name: counts[self._job.objectives[name].per] for name in sums}
            loss = sum(loss_sum / max(1, per[name]) for name, (loss_sum, _, _) in sums.items())
            self._engine.backward(loss, last=at + 1 == len(parts))
            terms.append(sums)
        totals, wishes = self._add_up(terms, wishes=[self._saver.due(self._step), self._stop.wished()])
        return totals, wishes[0], wishes[1]

    def _add_up(self, terms: Iterable[dict[str, Any]], *, wishes: Iterable[bool] = ()) -> tuple[Sums, list[bool]]:
        """Add up over all ranks; a wish of one is everybody's."""
        names = list(self._job.objectives)
        local = torch.zeros(3 * len(names), dtype=torch.float64, device=self._ranks.device)
        for sums in terms:
            local += torch.stack([value.detach().double() for name in names for value in sums[name]])
        totals = self._ranks.sum([*local.tolist(), *map(float, wishes)])
        sums = {name: (totals[3 * at], totals[3 * at + 1], totals[3 * at + 2]) for at, name in enumerate(names)}
        return sums, [wish > 0 for wish in totals[3 * len(names) :]]

    def _evaluation_due(self) -> bool:
        every, (at, within) = self._order.evaluate_every, self._job.locate(self._step)
        return within + 1 == self._job.stretches[at].steps or (every is not None and self._step % every == 0)

    @torch.no_grad()
    def _evaluate(self, at: int) -> None:
        stretch = self._job.stretches[at]
        if stretch.held_out is None:
            return
        self._engine.train(False)
        with Ahead(self._loader(stretch.held_out, stretch.held_out_masks).all_rows()) as parts:
            sums, _ = self._add_up(self._engine.forward(part) for part in parts)
        self._engine.train(True)
        line = {"step": self._step, "phase": at}
        self._note(line | {f"held_out_{name}": value for name, value in self._losses(sums).items()})

    def _interrupt(self) -> None:
        self._saver.wait()
        self._ranks.agree(None)  # nobody leaves before the checkpoint is there
        if self._ranks.rank == 0:
            self._stop.obeyed()
        raise Interrupted(f"interrupted after step {self._step}; run the same command again to go on")

    def _refuse(self, fed: Fed, reason: str | None) -> None:
        if reason is not None:
            raise Spiked(Rewind(self._step, fed.phase, fed.batch, reason))

    def _note(self, line: Line) -> None:
        if self._journal is not None:
            self._journal.append(line)
            if self._step % self._order.log_every == 0 or "loss" not in line or self._step == self._job.steps:
                self._journal.flush()

    def _loader(self, rows: Rows, masks: Masks | None) -> Loader:
        return Loader(
            rows,
            masks,
            self._ranks.rank,
            self._ranks.count,
            self._order.run.micro_batch,
            self._ranks.device,
            multiple=multiple_on(self._ranks.device, self._order.shape.max_positions),
            packed=self._packed,
        )

    def _memory(self) -> int:
        """Return the most memory this rank held: the GPU's, or the whole process's where there is none."""
        if self._ranks.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._ranks.device))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE

    def _told(self, counts: dict[str, int]) -> Line:
        """Give what the journal tells of a step's size.

        `predicted` is how many tokens are compared with the vocabulary, `attended` how many tokens a token sees.
        """
        predicted = counts["predicted"] if "mlm" in self._job.objectives else 0
        told = {"tokens": counts["tokens"], "cells": counts["cells"], "predicted": predicted}
        return told | {"attended": round(counts["squares"] / max(1, counts["tokens"]), 3)}

    def _losses(self, sums: Sums) -> Line:
        """Turn sums into means; None where nothing was predicted."""
        line: Line = {"loss": sum(loss_sum / max(1, count) for loss_sum, count, _ in sums.values())}
        for name, (loss_sum, count, correct) in sums.items():
            line[f"{name}_loss"] = loss_sum / count if count else None
            if self._job.objectives[name].graded:
                line[f"{name}_accuracy"] = correct / count if count else None
        return line
