"""SST-2 and MRPC from real weights, with the default recipe, by the product's own command; and what it took.

Processes of Ray are nobody's children when they end, so CPU seconds are counted while they live: of every process that
descends from the command, the most that it was ever seen to have used.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "glue.yaml"
WANTED = {"sst2": "accuracy", "mrpc": "f1"}
LOOK_SECONDS = 2.0
HOUR = 3600.0


def scores(data: Path, folder: Path) -> dict[str, float]:
    """Fine-tune on both tasks and read their scores."""
    store = folder / "store"
    places = [f"recipe.finetune.{at}.path={data / 'glue' / name}" for at, name in enumerate(("MRPC", "SST-2"))]
    seconds, cpu = timed(["run", str(CONFIG), *places, f"run.store={store}"])
    figures = {"scores_hours": seconds / HOUR, "scores_cpu_seconds": cpu, "scores_load": os.getloadavg()[2]}
    for facts in facts_in(store, "finetune"):
        metric = WANTED[facts["task"]]
        figures |= {f"scores_{facts['task']}_{name}": value for name, value in facts["dev"].items()}
        figures |= {f"scores_{facts['task']}_tokens_per_second": facts["measured"]["tokens_per_second"]}
        print(f"{facts['task']}: {metric} {facts['dev'][metric]:.4f}", file=sys.stderr)
    return figures


def facts_in(store: Path, label: str) -> list[dict[str, Any]]:
    """Read what the artifacts of a stage say of themselves."""
    return [json.loads(path.read_text())["facts"] for path in sorted(store.glob(f"{label}/*/manifest.json"))]


def timed(arguments: list[str], cwd: Path = ROOT) -> tuple[float, float]:
    """Run `pretrace` in a folder; returns seconds of the wall clock, and CPU seconds of all its processes."""
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    env["PYTHONPATH"] = str(ROOT)
    begin = time.perf_counter()
    command = [sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main())", *arguments]
    with subprocess.Popen(command, cwd=cwd, env=env) as process:
        used: dict[tuple[int, float], float] = {}
        over = threading.Event()
        looker = threading.Thread(target=_look, args=(process.pid, used, over), daemon=True)
        looker.start()
        code = process.wait()
        over.set()
        looker.join()
    if code:
        raise SystemExit(code)
    return time.perf_counter() - begin, sum(used.values())


def _look(pid: int, used: dict[tuple[int, float], float], over: threading.Event) -> None:
    while not over.wait(LOOK_SECONDS):
        try:
            top = psutil.Process(pid)
            for one in (top, *top.children(recursive=True)):
                times = one.cpu_times()
                used[one.pid, one.create_time()] = times.user + times.system
        except psutil.Error:
            continue  # one ended while we looked
