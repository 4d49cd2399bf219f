"""Locks between processes, which kill -9 frees."""

import fcntl
import os
from pathlib import Path
from typing import TextIO


def take(file: int | TextIO) -> bool:
    """Take the lock of an open file; False where another process has it. Closing the file gives it back."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def share(file: int | TextIO) -> None:
    """Wait until nobody has the lock alone, and have it with others."""
    fcntl.flock(file, fcntl.LOCK_SH)


def free(file: int | TextIO) -> bool:
    """Say whether nobody has the lock of an open file at this moment."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True


def open_locked(path: Path, flags: int) -> int | None:
    """Open a file or folder and take its lock; None where another process has it, or there is no such place."""
    try:
        handle = os.open(path, flags, 0o666)
    except FileNotFoundError:
        return None
    if take(handle):
        return handle
    os.close(handle)
    return None
