"""The ways between hosts, set on every rank before the ranks meet. Only workers and ranks import this."""

import os
from dataclasses import dataclass
from datetime import timedelta

import psutil


@dataclass(frozen=True)
class Way:
    """Where ranks meet, over which kind of process group, and how long they wait for each other."""

    address: str
    port: int
    backend: str
    wait_seconds: int


def meet(way: Way) -> None:
    """Make this process a rank of torch's process group, as Ray Train's own TorchTrainer does."""
    from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group

    prepare(way.wait_seconds)
    os.environ |= {"MASTER_ADDR": way.address, "MASTER_PORT": str(way.port)}
    _set_torch_distributed_env_vars()  # type: ignore[no-untyped-call]
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    _setup_torch_process_group(way.backend, rank, ranks, "env://", way.wait_seconds)


def part() -> None:
    """Leave the process group."""
    from ray.train.torch.config import _shutdown_torch

    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    _shutdown_torch(destroy_process_group=several)  # type: ignore[no-untyped-call]


class OnOwnDevice:
    """What surrounds the function of a rank: its own GPU is the current one, where it has any."""

    def __enter__(self) -> None:
        from ray.train.torch.config import TorchConfigContextManager

        TorchConfigContextManager().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *_: object) -> None:
        pass


def prepare(timeout_seconds: float) -> None:
    """Choose the interface that ranks talk over and say how long they wait for each other; for every process group.

    DeepSpeed makes groups of its own and cannot be told how long they wait.
    """
    from torch.distributed import distributed_c10d

    timeout = timedelta(seconds=timeout_seconds)
    for default in ("default_pg_timeout", "default_pg_nccl_timeout"):
        setattr(distributed_c10d, default, timeout)
    name = interface_of(own_address())
    if name is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={name}")  # without the sign eth1 would mean eth10, too


def own_address() -> str:
    """Give the address by which Ray knows this host."""
    import ray

    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address


def interface_of(address: str) -> str | None:
    """Name the interface that has an address of this host.

    Left alone, gloo takes the address that this host's name resolves to: often 127.0.0.1, or one of another network.
    """
    for name, addresses in psutil.net_if_addrs().items():
        if any(entry.address == address for entry in addresses):
            return name
    return None
