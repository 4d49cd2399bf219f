"""What this machine computes with: its processor, its threads and memory, its GPUs by the names that CUDA gives them."""

import os
import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Gpu:
    """A GPU."""

    name: str
    watts: float | None
    """Its power limit, where the driver tells it."""


@cache
def processor() -> str:
    """Name the processor, as its maker does."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


@cache
def clock_ghz() -> float | None:
    """Give the processor's clock at this moment; None where it is not told."""
    told = _cpuinfo("cpu MHz")
    return float(told) / 1000.0 if told else None


@cache
def flags() -> frozenset[str]:
    """List the processor's instruction sets, in the kernel's words."""
    return frozenset(_cpuinfo("flags").split())


def threads() -> int:
    """Count the threads that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    """Count the bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@cache
def gpus() -> tuple[Gpu, ...]:
    """List the GPUs that NVIDIA's driver tells of; none where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(pynvml.nvmlDeviceGetCount())]
        return tuple(Gpu(_text(pynvml.nvmlDeviceGetName(handle)), _watts(handle)) for handle in handles)
    except pynvml.NVMLError:
        return ()


def accelerator() -> dict[str, Any]:
    """Say what this machine computes with, for a manifest."""
    return {"processor": processor(), "threads": threads(), "gpus": [gpu.name for gpu in gpus()]}


def _watts(handle: Any) -> float | None:
    import pynvml

    try:
        return float(pynvml.nvmlDeviceGetPowerManagementLimit(handle)) / 1000.0
    except pynvml.NVMLError:  # not all of them tell
        return None


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _cpuinfo(field: str) -> str:
    text = CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""
    found = re.search(rf"^{field}\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""
