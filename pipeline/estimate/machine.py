"""What this machine can do and draws, from tables: the basis of an estimate where nothing was measured yet."""

from dataclasses import dataclass
from typing import Literal

from pipeline.core import hardware
from pipeline.running import Run
from pipeline.training.throughput import peak_tflops

FLOPS_A_CYCLE = {"avx512f": 64, "avx2": 32, "asimd": 16}
"""Instruction set -> float32 operations a cycle and core: two units that multiply and add whole vectors."""
PLAIN_FLOPS_A_CYCLE = 8
CLOCK_GHZ = 2.5
"""Where the kernel tells none."""
CPU_UTILISATION = 0.3
"""Of a core's peak: 0.17 to 0.59 were measured, small models below large ones (benchmarks/results/2026-11-22-training.md)."""
GPU_UTILISATION = 0.35
"""Of the matrix units' bf16 peak: what published runs of encoders reach is 0.3 to 0.5."""
FLOAT32_SHARE = 0.5
"""TF32 runs at half the rate of bf16."""
ASSUMED_GPU = "H100"
GPU_WATTS = {
    "GB200": 1200.0,
    "B200": 1000.0,
    "H200": 700.0,
    "H100 PCIe": 350.0,
    "H100": 700.0,
    "A100": 400.0,
    "A30": 165.0,
}
GPU_WATTS |= {"A10G": 150.0, "A10": 150.0, "L40S": 350.0, "L40": 300.0, "L4": 72.0, "V100": 300.0, "T4": 70.0}
GPU_WATTS |= {"RTX 4090": 450.0, "RTX 3090": 350.0}
"""Words of a device's name -> board power. Source: NVIDIA data sheets."""
OTHER_GPU_WATTS = 300.0
GPU_LOAD = 0.8
"""The share of its board power that a training GPU draws."""
THREAD_WATTS = 4.0
IDLE_SHARE = 0.1
"""codecarbon's model of a processor that it does not know: 4 W a thread, a tenth of it idle, the rest by load cubed."""
MEMORY_WATTS = ((16, 10.0), (64, 20.0), (128, 38.0))
"""GiB of memory -> W: codecarbon's model, 5 W a module."""
MOST_MEMORY_WATTS = 64.0
TERA, GIGA = 1e12, 1e9
GIB = 1 << 30


@dataclass(frozen=True)
class Machine:
    """Where a plan would run: how many processes work at once, and on what."""

    device: Literal["cpu", "cuda"]
    workers: int
    ranks: int
    peak_tflops: float | None = None
    """Of one device, where the user knows it."""
    threads: int = 1
    """CPU threads of each rank."""

    @property
    def busy_workers(self) -> int:
        """Workers that have a thread of their own."""
        return min(self.workers, hardware.threads())

    @property
    def busy_cores(self) -> int:
        """Threads of ranks that have a core of their own, or one for each rank where they have GPUs."""
        return self.ranks if self.device == "cuda" else min(self.ranks * self.threads, hardware.threads())

    def flops_per_second(self, precision: str) -> float:
        """Say how many operations a second of training all ranks get done together."""
        if self.device == "cpu":
            return self.busy_cores * CPU_UTILISATION * core_flops()
        share = GPU_UTILISATION * (FLOAT32_SHARE if precision == "float32" else 1.0)
        return self.ranks * share * TERA * (self.peak_tflops or peak_tflops(gpu()) or peak_tflops(ASSUMED_GPU) or 0.0)

    def training_basis(self) -> str:
        """Say on what the rate of training rests."""
        if self.device == "cpu":
            cores = f"{self.busy_cores} core{'' if self.busy_cores == 1 else 's'}"
            return f"from FLOPs at {CPU_UTILISATION:.0%} of {cores} of {core_flops() / GIGA:.0f} GFLOP/s each"
        peak = f"{self.peak_tflops:g} TFLOP/s (run.peak_tflops)" if self.peak_tflops else f"the peak of an {gpu()}"
        return f"from FLOPs at {GPU_UTILISATION:.0%} of {self.ranks} x {peak}"

    def training_watts(self) -> float:
        """Say what this machine draws while ranks train."""
        host = host_watts(self.busy_cores)
        return host if self.device == "cpu" else host + self.ranks * GPU_LOAD * gpu_watts()

    def data_watts(self) -> float:
        """Say what this machine draws while workers prepare data."""
        return host_watts(self.busy_workers)


def machine_of(run: Run) -> Machine:
    """Give the machine as the settings use it."""
    return Machine(run.device, run.workers, run.ranks, run.peak_tflops, run.threads)


def core_flops() -> float:
    """Give the float32 operations a second that one core can do at most."""
    sets = hardware.flags()
    cycle = next((flops for name, flops in FLOPS_A_CYCLE.items() if name in sets), PLAIN_FLOPS_A_CYCLE)
    return cycle * GIGA * (hardware.clock_ghz() or CLOCK_GHZ)


def gpu() -> str:
    """Name the GPU here, or the one that is assumed where there is none to see."""
    return next((gpu.name for gpu in hardware.gpus()), f"{ASSUMED_GPU} (assumed: none to see here)")


def gpu_watts() -> float:
    """Give the board power of the GPU here."""
    told = next((gpu.watts for gpu in hardware.gpus() if gpu.watts), None)
    names = [name for name in GPU_WATTS if name.lower() in gpu().lower()]
    return told or (GPU_WATTS[max(names, key=len)] if names else OTHER_GPU_WATTS)


def host_watts(busy: int) -> float:
    """Give what processor and memory draw with some threads busy, as codecarbon would have it without counters."""
    threads = hardware.threads()
    load = IDLE_SHARE + (1 - IDLE_SHARE) * min(1.0, busy / threads) ** 3
    gib = hardware.memory_bytes() / GIB
    memory = next((watts for most, watts in MEMORY_WATTS if gib <= most), MOST_MEMORY_WATTS)
    return THREAD_WATTS * threads * load + memory
