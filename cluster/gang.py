"""A gang: one Ray Train worker group that runs a function on every rank.

`run_group` runs in a Ray task of its own, so that the driver imports neither torch nor Ray Train, and ending the task
ends the ranks. A rank's failure travels as a `PretraceError`; one that only the user can mend is final, any other is
tried again by the driver (Ray Train's own FailureConfig would repeat both).
"""

import errno
import importlib
import logging
import os
import re
import shutil
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cluster.logs import journal
from cluster.turn import leave_with_turn
from pipeline.core.errors import ComputeError, Interrupted, PretraceError

LOG = logging.getLogger("pretrace.cluster")
TAIL_LINES = 12
HANG_SECONDS = 600.0  # a rank that answers nothing for so long is dead; Ray Train's default
FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Group:
    """How many ranks, what each needs, and the folder of Ray Train's notes, whose name is the group's."""

    ranks: int
    threads: int  # CPUs of each
    gpus_per_rank: float
    start_timeout_seconds: float
    wait_seconds: int  # of ranks for each other
    storage: Path

    def needs(self) -> dict[str, float]:
        """Say what each rank asks of its host, in Ray's words."""
        return {"CPU": float(self.threads), **({"GPU": self.gpus_per_rank} if self.gpus_per_rank else {})}

    def spread(self) -> Literal["PACK", "SPREAD"]:
        """Say how ranks are put on hosts: GPUs of one host talk fastest, ranks on CPUs share its memory's bandwidth."""
        return "PACK" if self.gpus_per_rank else "SPREAD"

    def env(self) -> dict[str, str]:
        """Give the environment of the ranks and of the task that starts them."""
        env = {
            "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(self.start_timeout_seconds),
            "RAY_TRAIN_METRICS_ENABLED": "0",
            "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process more; a lost host is a dead rank to us
            "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
            "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": str(min(HANG_SECONDS, self.wait_seconds)),
            "RAY_CHDIR_TO_TRIAL_DIR": "0",
        }
        return env if self.gpus_per_rank else {**env, "DS_ACCELERATOR": "cpu"}


def end_group(ray: Any, leader: Any, group: Group) -> None:
    """End the leader and what it leaves: ranks that still run, the claim on their CPUs, Ray Train's notes."""
    ray.kill(leader)
    with suppress(ValueError):  # the group was ended well, and nothing has its name
        ray.util.remove_placement_group(ray.util.get_placement_group(group.storage.name))
    shutil.rmtree(group.storage, ignore_errors=True)


class Leader:
    """The actor that starts the ranks and waits for them; they end with it."""

    def run(self, group: Group, entry: str, order: str) -> list[Exception]:
        """Run `entry` on every rank; see `run_group`."""
        return run_group(group, entry, order)


def run_group(group: Group, entry: str, order: str) -> list[Exception]:
    """Run `entry` on every rank and return what went wrong, the cause before what it led to."""
    from ray.train import TrainingFailedError, WorkerGroupError
    from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig  # ray.train names the types of V1

    from cluster.trainer import Torch, Trainer

    trainer = Trainer(
        run_rank,
        train_loop_config={"entry": entry, "order": order, "gang": group.storage.name},
        backend_config=Torch("nccl" if group.gpus_per_rank else "gloo", group.wait_seconds),
        scaling_config=ScalingConfig(
            num_workers=group.ranks,
            use_gpu=bool(group.gpus_per_rank),
            resources_per_worker=group.needs(),
            placement_strategy=group.spread(),
        ),
        run_config=RunConfig(  # type: ignore[arg-type]  # V2 inherits V1's signature
            name=group.storage.name,
            storage_path=str(group.storage.parent),
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),
        ),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        return by_blame(error.worker_failures)
    except TrainingFailedError as error:
        return [_early(str(error))]
    return []


def run_rank(config: dict[str, str]) -> None:
    """Call the entry; Ray Train calls this on every rank with the environment that torchrun would give."""
    module, _, name = config["entry"].partition(":")
    order = Path(config["order"])
    rank = os.environ["RANK"]
    journal(f"rank {rank}", logging.INFO if rank == "0" else logging.WARNING)
    leave_with_turn(order, config["gang"])
    LOG.info("started as one of %s, process %d", os.environ["WORLD_SIZE"], os.getpid())
    try:
        getattr(importlib.import_module(module), name)(order)
        LOG.info("ended well")
    except Interrupted as end:
        LOG.info("ended: %s", end)
        raise
    except Exception as error:
        LOG.exception("failed")
        if is_final(error):
            raise
        raise ComputeError(f"rank {rank}: {tail(traceback.format_exc())}") from None


def is_final(error: Exception) -> bool:
    """Tell errors that another attempt would meet again: the user's to mend, or a full disk."""
    if isinstance(error, OSError):
        return error.errno in FULL_DISK
    return isinstance(error, PretraceError) and not isinstance(error, ComputeError)


def by_blame(failures: Mapping[int, Exception]) -> list[Exception]:
    """Order failures: final ones, then ranks that died, then ranks that said so, most of which only lost a peer."""
    final = [failure for failure in failures.values() if is_final(failure)]
    said = [failure for failure in failures.values() if isinstance(failure, ComputeError)]
    died = [_death(rank, failure) for rank, failure in failures.items() if failure not in final and failure not in said]
    return [*final, *died, *said]


def _death(rank: int, failure: Exception) -> ComputeError:
    """Say what Ray knows of the end of a rank: the last line of what Ray Train's error wraps."""
    cause = getattr(failure, "health_check_failure", failure)
    lines = str(cause).strip().splitlines() or [""]
    return ComputeError(f"rank {rank}{_host(str(cause))}: ended abnormally ({type(cause).__name__}): {lines[-1]}")


def _early(text: str) -> ComputeError:
    """Say what ended a group before Ray Train knew that all of its ranks ran; it then does not know which rank it was."""
    if "actor died" in text:
        return ComputeError(f"a rank{_host(text)}: ended abnormally before all ran: {text.strip().splitlines()[-1]}")
    return ComputeError(f"the ranks did not start: {tail(text)}")


def _host(text: str) -> str:
    host = re.search(r"^\s*ip: (\S+)$", text, re.MULTILINE)
    return f" on {host[1]}" if host else ""


def tail(text: str) -> str:
    """Give the last lines of a traceback, where what went wrong stands."""
    return "\n".join(text.strip().splitlines()[-TAIL_LINES:])
