"""Whose turn it is: one gang at a time works on an order.

A host that is cut off is given up, but what it runs goes on, and the store's files may still be in its reach. So the
driver names the gang whose turn it is in a file beside the order, before its ranks start; a rank that finds another
name there ends itself. A new group needs seconds to start, a rank looks every second.
"""

import os
import signal
import threading
from pathlib import Path

from pipeline.core.errors import StoreError
from pipeline.core.files import read_json, write_json

LOOK_SECONDS = 1.0


def give_turn(order: Path, gang: str) -> None:
    """Name the gang that may work on an order; ranks of earlier ones end themselves."""
    write_json(_file(order), gang)


def leave_with_turn(order: Path, gang: str) -> None:
    """End this process, from a thread, as soon as it is the turn of another gang than its own.

    A file that cannot be read changes nothing: then nothing beside it can be written, either. One that is gone went
    with the scratch of an artifact that another gang finished.
    """
    thread = threading.Thread(target=_look, args=(_file(order), gang), name="turn", daemon=True)
    thread.start()


def _look(file: Path, own: str) -> None:
    rest = threading.Event()
    while not _is_over(file, own):
        rest.wait(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)  # not an exception: the rank may hang in a collective


def _is_over(file: Path, own: str) -> bool:
    try:
        return bool(read_json(file) != own)
    except FileNotFoundError:
        return True
    except (OSError, StoreError):
        return False


def _file(order: Path) -> Path:
    return order.with_suffix(".turn")
