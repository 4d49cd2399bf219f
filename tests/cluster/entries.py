"""What the tests of this folder run in workers and ranks."""

import errno
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError

CANCEL_SECONDS = 60.0
"""How long a cancelled task may tidy up in these tests: a busy machine needs more than one at work."""


@dataclass(frozen=True)
class Item:
    """A number to square and what befalls its worker; every attempt leaves a file in `notes`."""

    number: int
    notes: Path
    fate: str = "none"


def square(item: Item, folder: Path) -> dict[str, Any]:
    first = attempt(item.notes, str(item.number)) == 1
    FATES[item.fate](first)
    (folder / "square.txt").write_text(f"{item.number**2}\n")
    return {"square": item.number**2, "threads": os.environ["OMP_NUM_THREADS"]}


def attempt(notes: Path, who: str) -> int:
    """Note that `who` tries, and say the how manieth time."""
    notes.mkdir(parents=True, exist_ok=True)
    (notes / f"{who}.{os.getpid()}.{time.time_ns()}").touch()
    return len(list(notes.glob(f"{who}.*")))


def killed_once(first: bool) -> None:
    if first:
        killed(first)


def killed(first: bool) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def cut_data(first: bool) -> None:
    raise DataError("dump.xml: ends in the middle of a page; download it again")


def full_disk(first: bool) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/store/x")


def mistake(first: bool) -> None:
    raise KeyError("no such column")


def waits(first: bool) -> None:
    while True:
        time.sleep(0.05)


def slow(first: bool) -> None:
    time.sleep(1.5)


FATES: dict[str, Callable[[bool], None]] = {
    "none": lambda first: None,
    "killed once": killed_once,
    "killed": killed,
    "cut data": cut_data,
    "full disk": full_disk,
    "mistake": mistake,
    "waits": waits,
    "slow": slow,
}

RANK_ENV = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "OMP_NUM_THREADS",
    "MALLOC_ARENA_MAX",
    "DS_ACCELERATOR",
)


def add_ranks(order: Path) -> None:
    """Meet the order's fate on rank 1 when both have begun, add up their numbers, and write down what each saw."""
    import torch
    import torch.distributed as dist

    told = json.loads(order.read_text())
    out, rank = Path(told["out"]), dist.get_rank()
    first = attempt(out / "notes", f"rank{rank}") == 1
    dist.barrier()
    if rank == 1:
        FATES[told["fate"]](first)
    total = torch.tensor([rank + 1])
    dist.all_reduce(total)
    saw = {"total": total.item(), **{name: os.environ[name] for name in RANK_ENV}}
    (out / f"{rank}.json").write_text(json.dumps(saw))
