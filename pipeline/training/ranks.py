"""The processes that train together: how one joins the others, sums over them, and leaves.

DeepSpeed is started here, with what it must not do: compile operators, and speak.
"""

import logging
import os
import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist

from pipeline.training.heap import keep_freed_memory

_WAIT = timedelta(minutes=30)
"""For ranks that wait while another one works alone, e.g. writes a checkpoint."""


@dataclass(frozen=True)
class Ranks:
    """One process among all that train together."""

    rank: int
    count: int
    device: torch.device

    def sum(self, values: list[float]) -> list[float]:
        """Add up one list of numbers over all ranks, in double precision and in the same order everywhere."""
        if self.count == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def agree(self, value: Any) -> Any:
        """Return rank 0's value on every rank."""
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]


def join(device: Literal["cpu", "cuda"], threads: int = 1) -> Ranks:
    """Join the process group that the environment describes, or one of this process alone.

    One with several CPU threads sums in another order, and one with more than there are CPUs is slower than with one.
    Works where the group exists already (Ray Train), under torchrun, and by hand.
    """
    os.environ["DS_ACCELERATOR"] = device  # read when deepspeed is first imported
    os.environ.setdefault("LOCAL_RANK", "0")
    place = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if device == "cuda" else torch.device("cpu")
    if device == "cuda":
        torch.cuda.set_device(place)
    else:
        torch.set_num_threads(threads)
        keep_freed_memory()
    if not dist.is_initialized():
        _start_group("nccl" if device == "cuda" else "gloo")
    _start_deepspeed()
    return Ranks(dist.get_rank(), dist.get_world_size(), place)


def starts_here() -> bool:
    """Tell whether `join` will have to start the process group, and `leave` is ours to call."""
    return not dist.is_initialized()


def leave() -> None:
    """Leave the process group."""
    import deepspeed.comm

    if deepspeed.comm.is_initialized():
        deepspeed.comm.destroy_process_group()
        deepspeed.comm.comm.cdb = None  # it would go on using the group that is gone


def _start_group(backend: str) -> None:
    if "RANK" in os.environ:
        dist.init_process_group(backend, timeout=_WAIT)
    else:
        store = dist.HashStore()  # type: ignore[attr-defined]  # exported, but missing from the type stubs
        dist.init_process_group(backend, store=store, rank=0, world_size=1)


def _start_deepspeed() -> None:
    import deepspeed
    import deepspeed.ops

    # Without this, the first start on a CPU compiles a shared-memory all-reduce for a minute or two. It needs a
    # compiler, and a build that is killed leaves a lock that hangs every later start (DeepSpeedExamples 302).
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.utils.logger.setLevel(logging.ERROR)
    # DeepSpeed 0.19 calls both of these, deprecated in torch 2.13, on every step.
    warnings.filterwarnings("ignore", message=".*(reduce_scatter|all_gather_into)_tensor", category=FutureWarning)
    deepspeed.init_distributed(dist_backend=dist.get_backend(), verbose=False)
