"""One rank as a process of its own, that can be told to die in a given call."""

import os
import pkgutil
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Death = tuple[str, int]
"""A function's full name, and the call of it that is never made."""


@dataclass(frozen=True)
class Place:
    """Where a rank stands."""

    rank: int
    count: int
    port: int
    log: Path


def run(order: Path, place: Place, death: Death | None) -> None:
    """Join as torchrun would have it, and train; a traceback goes to the log."""
    os.environ |= {"RANK": str(place.rank), "WORLD_SIZE": str(place.count), "LOCAL_RANK": str(place.rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(place.port)}
    try:
        from pipeline.training.rank import train

        if death is not None:
            _die_in(*death)
        train(order)
    except Exception as error:  # noqa: BLE001  # the test looks into the log
        place.log.write_text(traceback.format_exc())
        sys.exit(getattr(error, "exit_code", 1))


def run_in_a_group(order: Path) -> None:
    """Train where somebody else, such as Ray Train, has made the process group, and check that it is still there."""
    import torch.distributed as dist

    from pipeline.training.rank import train

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    train(order)
    dist.barrier()


def _die_in(call: str, number: int) -> None:
    owner_name, _, name = call.rpartition(".")
    owner = pkgutil.resolve_name(owner_name)
    original, calls = getattr(owner, name), []

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(owner, name, counted)
