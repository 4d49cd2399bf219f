"""How fast is training, what does it waste, and what does it learn for its money, against Hugging Face's `Trainer`?

`python benchmarks/training.py [--data FOLDER] [--part NAME]... [--quick] [--json] [--resume FOLDER]` takes real text from the
folder of test data and makes examples of it with our own stages. Every run is a process of its own, one thread, one rank;
sides alternate, and figures are medians. CPU seconds of the process count (wall seconds beside them), because benchmarks
share their machine. The clock starts when model and engine stand, and the first steps are left out.

`--resume` keeps examples and finished runs in a folder: what is there already is not run again. A run of ours is named
after the code of `pipeline/` as well, so that changed code is measured anew. `--json` ends with one line of figures by
name, those of the targets last. The peer needs transformers and accelerate; without them its parts say so and are left out.
GPUs: training_gpu.py.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import training_parts as parts
from training_runs import Bench, one_run

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ROOT.parent / "shared" / "data"

PARTS: dict[str, Callable[[Bench], dict[str, float]]] = {
    "speed": parts.speed,
    "waiting": parts.waiting,
    "overhead": parts.overhead,
    "gang": parts.gang,
    "padding": parts.padding,
    "stall": parts.stall,
    "learning": parts.learning,
}
SLOW = ("learning", "gang")
"""Not run where quick."""
PEER = ("transformers", "accelerate")

TARGETS: dict[str, tuple[str, float]] = {
    "speed_ratio": ("at least", 2.5),
    "learning_modern_nats_below_peer": ("at least", 0.5),
    "learning_bert_nats_below_peer": ("at least", 0.0),
    "learning_modern_share_of_peer_cpu": ("below", 0.5),
    "learning_bert_share_of_peer_cpu": ("below", 0.5),
    "waiting_share_of_step": ("below", 0.01),
    "waiting_loader_vs_step": ("at least", 20.0),
    "overhead_engine_vs_bare": ("below", 1.10),
    "gang_vs_bare": ("below", 1.10),
    "padding_share_128": ("below", 0.02),
    "padding_share_512": ("below", 0.02),
    "stall_in_steps": ("below", 1.0),
}
"""Figure -> what issue 4 asks of it."""


def main() -> None:
    """Measure the parts asked for and print their figures."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--data", type=Path, default=Path(os.environ.get("PRETRACE_TEST_DATA", BESIDE)))
    asked.add_argument("--part", action="append", choices=PARTS, help="measure only this part (may be repeated)")
    asked.add_argument("--quick", action="store_true", help="a tenth of the books, fewer steps, no slow parts")
    asked.add_argument("--json", action="store_true", help="end with one line of JSON")
    asked.add_argument("--resume", type=Path, help="a folder that keeps examples and finished runs")
    asked.add_argument("--stale", action="store_true", help="with --resume: take runs of ours of other code too")
    asked.add_argument(
        "--kept", action="store_true", help="with --resume: learning reports what is finished, starts nothing"
    )
    asked.add_argument("--child", nargs=2, metavar=("WHAT", "GIVEN"), help=argparse.SUPPRESS)
    chosen = asked.parse_args()
    if chosen.child:
        print(json.dumps(one_run(chosen.child[0], json.loads(chosen.child[1]))))
        return
    wanted = chosen.part or [part for part in PARTS if not (chosen.quick and part in SLOW)]
    with tempfile.TemporaryDirectory(prefix="pretrace-bench-") as name:
        folder = (chosen.resume or Path(name)).absolute()
        bench = Bench(chosen.data, folder, chosen.quick, has_peer(), chosen.stale, chosen.kept)
        figures: dict[str, float] = {}
        for part in wanted:
            figures |= PARTS[part](bench)
            print(f"{part} measured", file=sys.stderr)
    report(figures, as_json=chosen.json)


def has_peer() -> bool:
    """Tell whether the peer can run here, and say so where it cannot."""
    missing = [name for name in PEER if _version(name) is None]
    if missing:
        print(f"no figures of the peer: {', '.join(missing)} not installed", file=sys.stderr)
    return not missing


def report(figures: Mapping[str, float], *, as_json: bool) -> None:
    """Print the figures for people, then what was to be reached, then the line for programs."""
    import torch

    libraries = ", ".join(f"{name} {_version(name)}" for name in ("torch", "deepspeed", *PEER) if _version(name))
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"python {platform.python_version()}, {libraries}")
    print(f"{os.cpu_count()} cores, {platform.machine()} {capability}, load at the end {load}")
    for name, figure in figures.items():
        print(f"{name:55} {figure:>14,.4f}")
    print()
    for name, (how, target) in TARGETS.items():
        if name in figures:
            met = figures[name] >= target if how == "at least" else figures[name] < target
            print(f"{name:40} {how:>8} {target:>6.2f} {figures[name]:>10.4f}  {'reached' if met else 'MISSED'}")
    if as_json:
        print(json.dumps({name: round(figure, 4) for name, figure in figures.items()}))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
