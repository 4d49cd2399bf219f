"""A driver in a process of its own: a map, then a plan's steps, on the hosts of a cluster or on one alone.

Usage: python -m tests.cluster.journey alone|far CONFIG FOLDER HOST_WAIT_SECONDS
"""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cluster.ray_compute import RayCompute
from flows.planning import plan_in
from pipeline.config import load
from pipeline.core.compute import Compute
from pipeline.core.progress import Quiet
from pipeline.core.stage import materialize
from pipeline.core.store import Store
from tests.cluster.entries import Item, square
from tests.core.places import InTurn, Unrecorded

ITEMS = 12
LOSE_PATIENCE, LITTLE_SECONDS = signal.SIGUSR1, 5.0
"""What tells the driver to wait for hosts no longer than this from now on."""


class Alone(InTurn):
    """Makes items one after another in this process, and runs a gang of one rank."""

    def gang(self, entry: str, order: Path, watch: Callable[[], None]) -> None:
        with subprocess.Popen([sys.executable, "-m", "pipeline.training.rank", str(order)]) as rank:
            while rank.poll() is None:
                watch()
                time.sleep(0.2)
        assert rank.returncode == 0


def make_all(config: Path, folder: Path, place: Compute) -> None:
    """Make every step of a config."""
    settings = load([config])
    store = Store(folder / "store").open()
    for step in plan_in(store, settings.recipe):
        materialize(step, store, place, Unrecorded(), Quiet(), settings.run)


def travel(config: Path, folder: Path, patience: float) -> None:
    """Map and make all on the cluster that a config names."""
    run = load([config]).run
    items = [Item(number, folder / "notes", "slow") for number in range(ITEMS)]
    with RayCompute(
        address=run.ray_address,
        workers=run.workers,
        ranks=run.ranks,
        state=folder / "store" / "ray",
        min_ranks=run.min_ranks,
        max_failures=run.max_failures,
        host_wait_seconds=patience,
    ) as place:
        signal.signal(LOSE_PATIENCE, lambda *_: setattr(place, "_host_wait_seconds", LITTLE_SECONDS))
        place.map(square, items, [folder / "pieces" / str(item.number) for item in items], lambda done: None)
        make_all(config, folder, place)


def main(way: str, config: Path, folder: Path, patience: float) -> None:
    if way == "alone":
        make_all(config, folder, Alone())
    else:
        travel(config, folder, patience)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))
