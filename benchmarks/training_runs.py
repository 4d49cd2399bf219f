"""Runs of the training benchmarks: each a process of its own, kept once finished."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from training_data import order_for

HERE = Path(__file__).resolve().parent
WARM = 2
"""Steps at the start that are not counted: memory is touched and kernels are made for the first time."""
PEERS = ("per_device", "compiled", "attention_dropout")
"""Settings of the peer that no order has."""

Found = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """Where a benchmark finds its text and keeps what it made."""

    data: Path
    folder: Path
    quick: bool
    peer: bool
    stale: bool = False  # whether kept runs of ours count though the code has changed since
    kept_only: bool = False  # whether learning reports on finished runs and starts none


def run(bench: Bench, what: str, name: str, place: Path, size: str, **settings: Any) -> Found:
    """Run one side as a process of its own, or give what is kept of the same run.

    `what` is ours, bare, loading, gang or peer; settings are those of `order_for`, and for the peer `per_device` as well.
    """
    own = {name: settings.pop(name) for name in PEERS if name in settings}
    asked = {"what": what, "place": place.name, "size": size, "quick": bench.quick, **settings, **own, **_code(what)}
    kept = bench.folder / "runs" / f"{name}.json"
    if kept.exists() and _same(found := json.loads(kept.read_text()), json.loads(_plain(asked)), stale=bench.stale):
        return dict(found["found"])
    order_for(place, bench.folder / name, size, **settings)
    given = json.dumps({"order": str(bench.folder / name / "order.json"), **own})
    command = [sys.executable, str(HERE / "training.py"), "--child", what, given]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
    made: Found = json.loads(done.stdout.splitlines()[-1])
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(_plain({"asked": asked, "found": made}) + "\n")
    return made


def _same(kept: Found, asked: Found, *, stale: bool) -> bool:
    """Tell whether a kept run is the one asked for."""
    before: Found = kept["asked"]
    if stale and before.get("code") != asked.get("code"):
        print(f"kept from code {before['code']}, now {asked['code']}: {kept['asked']}", file=sys.stderr)
        before = before | {"code": asked["code"]}
    return before == asked


def one_run(what: str, given: dict[str, Any]) -> Found:
    """Do one run in this process."""
    import torch

    from pipeline.training.order import Order

    torch.set_num_threads(1)
    order = Order.read(Path(given["order"]))
    if what == "peer":
        import training_peer

        found = training_peer.train(order, **{name: given[name] for name in PEERS if name in given})
    else:
        import training_ours

        found = training_ours.CHILDREN[what](order)
    return found | {"process_cpu_seconds": time.process_time()}


def steps_of(found: Found, warm: int = WARM) -> list[tuple[float, float, int]]:
    """Give CPU seconds, wall seconds and tokens of each step after the first."""
    stamps = found["stamps"]
    pairs = zip(stamps, stamps[1:], found["tokens"], strict=False)
    return [(end[0] - begin[0], end[1] - begin[1], tokens) for begin, end, tokens in pairs][warm:]


def cpu_rate(found: Found, warm: int = WARM) -> float:
    """Give tokens a CPU second, padding not counted."""
    steps = steps_of(found, warm)
    return sum(tokens for _, _, tokens in steps) / sum(cpu for cpu, _, _ in steps)


def wall_rate(found: Found, warm: int = WARM) -> float:
    """Give tokens a second of the wall clock."""
    steps = steps_of(found, warm)
    return sum(tokens for _, _, tokens in steps) / sum(wall for _, wall, _ in steps)


def _code(what: str) -> dict[str, str]:
    """Name the code that a run depends on: our own sources, or the peer's version."""
    if what == "peer":
        return {"transformers": version("transformers")}
    sources = [path for room in ("model", "objectives", "training") for path in _sources(room)]
    return {"code": hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]}


def _sources(room: str) -> Sequence[Path]:
    return sorted((HERE.parent / "pipeline" / room).glob("*.py"))


def _plain(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True)
