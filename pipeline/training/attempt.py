"""Where an attempt at an order begins: the newest checkpoint, the journal cut back to it, the module and its engine."""

import json
import logging
import platform
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.core.fingerprint import key_of
from pipeline.core.seeds import seed_of
from pipeline.model import huggingface
from pipeline.model.encoder import initialize
from pipeline.model.heads import Learner
from pipeline.training import checkpoint, journal
from pipeline.training.checkpoint import Skips, State
from pipeline.training.guard import WINDOW, Rewind, Rewinds, skips_of
from pipeline.training.jobs import Job
from pipeline.training.journal import Journal, Line
from pipeline.training.order import Order
from pipeline.training.parts import parts_of
from pipeline.training.ranks import Ranks
from pipeline.training.zero import Engine

log = logging.getLogger(__name__)

KEYED = re.compile(r"^/.*/([0-9a-f]{12}(?:/.*)?)$")
"""A path to an artifact or piece, which is named by its key wherever the store lies."""
HOW = ("out", "work", "run", "log_every")
"""What of an order does not say what is asked for."""


@dataclass(frozen=True)
class Start:
    """Where training goes on."""

    step: int  # the last one made
    skips: Skips
    losses: list[Line]  # step lines before it, the last ones


def identity(order: Order) -> str:
    """Name what an order asks for; how and where it runs apart, so that a store may be moved while a run rests."""
    plain = order.as_dict()
    return key_of(_without_root({name: value for name, value in plain.items() if name not in HOW}))


def journal_path(order: Order) -> Path:
    """Say where rank 0 keeps the curve journal."""
    return Path(order.work) / "curve.jsonl"


def rewinds_of(order: Order) -> Rewinds:
    """Open the note of which batches are passed over."""
    return Rewinds(Path(order.work), identity(order))


def start(order: Order, ranks: Ranks) -> tuple[Start, State | None]:
    """Find where to go on from, and cut the journal back to there; the state comes on rank 0."""
    begin, state = _look(order, ranks) if ranks.rank == 0 else (None, None)
    agreed: Start = ranks.agree(begin)
    return agreed, state


def engine_of(order: Order, job: Job, ranks: Ranks, state: State | None) -> Engine:
    """Make the module that is trained and its engine, with the weights of a state, of `init`, or drawn."""
    learner = Learner(order.shape, job.objectives, recompute=order.run.recompute)
    initialize(learner, order.shape, seed_of(order.seed, "weights"))
    if order.init is not None:
        huggingface.start_from(learner, Path(order.init))
    if order.run.compile:
        learner.compile_parts()
    parts = None if order.tuning is None else parts_of(order.tuning, order.shape.layers, job.stretches[0].rows.units)
    return Engine(learner, ranks, order.optimizer, order.run, order.precision, state, parts)


def _without_root(value: Any) -> Any:
    """Cut paths into a store to what names the data: the key, and what lies below it."""
    if isinstance(value, dict):
        return {name: _without_root(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_root(item) for item in value]
    in_store = KEYED.search(value) if isinstance(value, str) else None
    return in_store[1] if in_store else value


def _look(order: Order, ranks: Ranks) -> tuple[Start, State | None]:
    work, path = Path(order.work), journal_path(order)
    journal.require_whole(path)
    found = checkpoint.newest(work, order=identity(order), until=journal.last_step(path))
    step, known = (0, ()) if found.checkpoint is None else (found.checkpoint.step, found.checkpoint.skips)
    journal.cut(path, until=step)
    rewinds = rewinds_of(order).read()
    _tell(path, step, found.rejected, rewinds)
    _record_attempt(order, ranks, step, found.rejected)
    lines = [line for line in journal.read_lines(path) if "loss" in line][-WINDOW:]
    state = None if found.checkpoint is None else found.checkpoint.load()
    return Start(step, max(skips_of(rewinds), known, key=len), lines), state


def _tell(path: Path, step: int, rejected: tuple[str, ...], rewinds: tuple[Rewind, ...]) -> None:
    """Put into the journal what happened, unless it is there."""
    told = {(line["phase"], line["batch"]) for line in journal.read_lines(path) if line.get("event") == "rewound"}
    writer = Journal(path)
    for reason in rejected:
        log.warning("checkpoint rejected: %s", reason)
        writer.append({"step": step, "event": "checkpoint_rejected", "reason": reason})
    for rewind in rewinds:
        if (rewind.phase, rewind.batch) not in told:
            writer.append({"event": "rewound", "to_step": step, **asdict(rewind)})
    writer.close()


def _record_attempt(order: Order, ranks: Ranks, step: int, rejected: tuple[str, ...]) -> None:
    line = {"at": time.time(), "ranks": ranks.count, "resumed_at_step": step, "rejected": rejected}
    cuda = ranks.device.type == "cuda"
    line["device"] = torch.cuda.get_device_name(ranks.device) if cuda else platform.machine()
    with (Path(order.work) / "attempts.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line | {"run": asdict(order.run)}) + "\n")
    begins = f"goes on from the checkpoint of step {step}" if step else "begins"
    log.info("training %s, with ranks: %d, on %s", begins, ranks.count, line["device"])
