"""The command `ray`, which waits for its own server as long as that one lives: Ray waits 30 s, too few on a busy machine.

Usage: python -m tests.cluster.patient_ray start ...
"""

import os
import time
from typing import Any

from ray._private import services
from ray.scripts.scripts import main

from tests.processes import below

SECONDS = 180.0


def find_node(*arguments: Any) -> Any:
    end = time.monotonic() + SECONDS
    while True:
        try:
            return _find_node(*arguments)
        except RuntimeError:
            if time.monotonic() > end or not below(os.getpid(), "raylet/raylet"):
                raise


_find_node = services.get_node

if __name__ == "__main__":
    services.get_node = find_node
    main()
