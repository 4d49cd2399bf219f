"""A driver in a process of its own: maps, runs one rank if there is a cluster, and prints one line of JSON.

Usage: python -m tests.cluster.driver ADDRESS|none WORKERS FATE FOLDER
"""

import json
import sys
from pathlib import Path

from cluster import ray_compute
from cluster.ray_compute import RayCompute
from pipeline.core.errors import PretraceError
from tests.cluster.entries import CANCEL_SECONDS, Item, square


def main(address: str, workers: str, fate: str, folder: Path) -> None:
    state, items = folder / "state", [Item(number, folder / "notes", fate) for number in range(4)]
    ray_compute.CANCEL_SECONDS = CANCEL_SECONDS
    place = RayCompute(address=None if address == "none" else address, workers=int(workers), ranks=1, state=state)
    with place as compute:
        pieces = compute.map(square, items, [folder / "pieces" / str(item.number) for item in items], lambda done: None)
        if address != "none":
            order = folder / "order.json"
            order.write_text(json.dumps({"out": str(folder), "fate": fate}))
            compute.gang("tests.cluster.entries:add_ranks", order, lambda: None)
    print(json.dumps([dict(piece.files) for piece in pieces]))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:4], Path(sys.argv[4]))
    except PretraceError as error:
        sys.exit(f"{type(error).__name__}: {error}")
