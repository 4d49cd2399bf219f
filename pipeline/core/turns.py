"""Turns: so many at a time, whatever processes and hosts they are in; others wait and say for whom.

Each place is a file that whoever has it holds by flock, so that kill -9 frees it.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from pipeline.core import locks

LOOK_SECONDS = 0.5


@contextmanager
def turn(places: Path, count: int, what: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Wait for one of `count` places, and hold it; `waiting` is told meanwhile who has them.

    `places` is the beginning of the paths of the files; `what` says to others what one is held for.
    """
    files = [places.with_name(f"{places.name}-{number}") for number in range(count)]
    places.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        while not any(_hold(file, what, held) for file in files):
            waiting("; ".join(dict.fromkeys(holder(file) for file in files)))
            time.sleep(LOOK_SECONDS)
        yield


def take(handle: TextIO, what: str = "") -> bool:
    """Take an open lock file if nobody has it, and write into it who we are and what for."""
    if not locks.take(handle):
        return False
    handle.truncate(0)
    handle.write(f"pid {os.getpid()} on host {socket.gethostname()}{what and f' ({what})'}")
    handle.flush()
    return True


def holder(file: Path) -> str:
    """Say who has a lock file, as they wrote it: pid 17 on host h1 (pretrain/0123456789ab)."""
    return file.read_text(encoding="utf-8") or "another process"


def _hold(file: Path, what: str, held: ExitStack) -> bool:
    with ExitStack() as opened:
        if not take(opened.enter_context(file.open("a+", encoding="utf-8")), what):
            return False
        held.push(opened.pop_all())
        return True
