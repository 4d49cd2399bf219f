"""The ways between hosts, set on every rank before the ranks meet. Only workers and ranks import this."""

import os
from datetime import timedelta

import psutil


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
