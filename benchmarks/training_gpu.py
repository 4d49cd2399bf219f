"""How close does training on one GPU come to what its arithmetic allows?

`python benchmarks/training_gpu.py [--size NAME] [--examples FOLDER] [--resume FOLDER] [--small] [--json]` needs torch, deepspeed
and this project alone: no Ray, no Prefect, no MLflow; with transformers and accelerate the peer is measured in the same run.
It trains in bf16 at 128 and 512 tokens by our real loop: with variable-length attention, with padded rows, and without
torch.compile. The limit is the measured rate of a large bf16 matrix product divided by the operations a token needs
(`flops_per_token`); utilisation is the share of that limit. Rows are made up with the lengths of real ones, or are those
that `training.py --resume FOLDER` left in `FOLDER/pairs-128` and `FOLDER/pairs-512`.

`--small` runs the same on a CPU, in float32 and with a tiny model: to see that it works, its figures mean nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

from training_data import made_up, order_for
from training_runs import Bench, Found, run, wall_rate

GIGA = 1e9
REPEATS = 20
SMALL_ONLY = ("padded", "padded_eager", "peer_eager")
"""What a CPU can run soon enough."""
OURS: dict[str, dict[str, Any]] = {
    "varlen": {"run_attention": "varlen", "run_compile": True},
    "varlen_eager": {"run_attention": "varlen"},
    "padded": {"run_attention": "padded", "run_compile": True},
    "padded_eager": {"run_attention": "padded"},
}
PEER: dict[str, bool] = {"peer": True, "peer_eager": False}
"""Whether torch.compile is on."""


@dataclass(frozen=True)
class Scale:
    """How much is run."""

    size: str
    vocab_size: int
    rows: dict[int, tuple[int, int]]  # sequence length -> rows of a global batch, and of a micro-batch
    steps: int
    warm: int  # steps that are not counted: compilers work
    matrix: int  # its side
    common: Mapping[str, Any]


FULL = Scale(
    "base", 30_522, {128: (512, 256), 512: (128, 64)}, 30, 10, 8192, {"run_device": "cuda", "precision": "bf16"}
)
SMALL = Scale("tiny", 4096, {128: (8, 4), 512: (4, 2)}, 5, 2, 1024, {"run_device": "cpu"})
GOALS = {128: 0.50, 512: 0.45}


def main() -> None:
    """Measure both lengths and print the figures."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--size", default="base", help="a named size of the model")
    asked.add_argument("--examples", type=Path, help="a folder with pairs-128 and pairs-512")
    asked.add_argument("--resume", type=Path, help="a folder that keeps finished runs")
    asked.add_argument("--small", action="store_true", help="on a CPU, to see that it works")
    asked.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = asked.parse_args()
    scale = SMALL if chosen.small else Scale(**{**FULL.__dict__, "size": chosen.size})
    with tempfile.TemporaryDirectory(prefix="pretrace-bench-") as name:
        bench = Bench(Path(), (chosen.resume or Path(name)).absolute(), chosen.small, peer=True)
        peak = matrix_rate(scale)
        figures = {"peak_tflops": peak / 1e12}
        for length in scale.rows:
            figures |= at_length(bench, scale, length, peak, chosen.examples)
    report(figures, as_json=chosen.json, small=chosen.small)


def matrix_rate(scale: Scale) -> float:
    """Measure the operations a second of a large matrix product: the best of some."""
    import torch

    device = scale.common["run_device"]
    kind = torch.bfloat16 if scale.common.get("precision") == "bf16" else torch.float32
    torch.set_num_threads(1)
    left, right = (torch.randn(scale.matrix, scale.matrix, device=device, dtype=kind) for _ in range(2))
    best = float("inf")
    for _ in range(REPEATS):
        begin = _settled(device)
        left @ right
        best = min(best, _settled(device) - begin)
    return 2.0 * scale.matrix**3 / best


def _settled(device: str) -> float:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def at_length(bench: Bench, scale: Scale, length: int, peak: float, examples: Path | None) -> dict[str, float]:
    """Give tokens a second and utilisation of every way to train at one sequence length."""
    batch, micro = scale.rows[length]
    settings = {"steps": scale.steps, "global_batch": batch, "run_micro_batch": micro, "run_zero_stage": 1}
    place = examples / f"pairs-{length}" if examples else made_up(bench.folder, length, 4096, scale.vocab_size)
    limit = peak / _operations(bench, scale, place, settings)
    figures = {f"{length}_limit_tokens_per_second": limit}
    ways = [way for way in (*OURS, *PEER) if scale is not SMALL or way in SMALL_ONLY]
    for way in ways:
        name = f"gpu-{length}-{way}"
        if way in OURS:
            found = _tried(bench, "ours", name, place, scale, settings | OURS[way])
        else:
            found = _peer(bench, name, place, scale, settings | {"compiled": PEER[way]})
        figures |= _rates(f"{length}_{way}", found, scale, limit)
    return figures


def _peer(bench: Bench, name: str, place: Path, scale: Scale, settings: dict[str, Any]) -> Found | None:
    """Run the peer with as many rows at a time as fit: its logits of every position may be too large."""
    micro = settings["run_micro_batch"]
    sizes = (max(1, micro // share) for share in (1, 2, 4))
    tries = (_tried(bench, "peer", f"{name}-{size}", place, scale, settings | {"per_device": size}) for size in sizes)
    return next((found for found in tries if found is not None), None)


def _tried(bench: Bench, what: str, name: str, place: Path, scale: Scale, settings: dict[str, Any]) -> Found | None:
    """Run one way; None where it failed, whose reason has been printed."""
    try:
        return run(bench, what, name, place, scale.size, **scale.common, **settings)
    except (subprocess.CalledProcessError, ModuleNotFoundError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return None


def _rates(name: str, found: Found | None, scale: Scale, limit: float) -> dict[str, float]:
    if found is None:
        return {}
    rate = wall_rate(found, scale.warm)
    figures = {f"{name}_tokens_per_second": rate, f"{name}_utilisation": rate / limit}
    if found.get("lines"):
        figures[f"{name}_memory_gb"] = max(line.get("memory_bytes", 0) for line in found["lines"]) / GIGA
    return figures


def _operations(bench: Bench, scale: Scale, place: Path, settings: dict[str, Any]) -> float:
    """Count the floating-point operations a real token needs, forward and backward."""
    from pipeline.model.shape import flops_per_token
    from pipeline.training.batches import Rows

    order = order_for(place, bench.folder / "operations", scale.size, **settings, **scale.common)
    lengths_N = Rows(order.phases[0].examples, nothing=-1, longest=order.shape.max_positions).ids.lengths_N.astype(
        float
    )
    attended = float((lengths_N**2).sum() / lengths_N.sum())
    assert order.masking is not None
    return flops_per_token(order.shape, attended=attended, predicted_share=order.masking.rate)


def report(figures: Mapping[str, float], *, as_json: bool, small: bool) -> None:
    """Print the figures for people, the goals, and the line for programs."""
    import torch

    device = (
        "a CPU: these figures say that the script works, and nothing else" if small else torch.cuda.get_device_name()
    )
    loaded = sorted(name for name in ("ray", "prefect", "mlflow") if name in sys.modules)
    print(f"torch {torch.__version__} on {device}; loaded of ray, prefect, mlflow: {', '.join(loaded) or 'none'}")
    for name, figure in figures.items():
        print(f"{name:40} {figure:>16,.3f}")
    for length, goal in GOALS.items():
        best = max((figures.get(f"{length}_{way}_utilisation", 0.0) for way in OURS), default=0.0)
        print(f"{length}: best utilisation {best:.3f}, goal {goal}" + (" (not a GPU)" if small else ""))
    if as_json:
        print(json.dumps({name: round(figure, 4) for name, figure in figures.items()}))


if __name__ == "__main__":
    main()
