"""How ranks are told to stop: by a signal, or by a file `stop` in their work folder.

A rank that is told so tells the others through the step's own sum; together they make a checkpoint and end with the exit
code that means "run me again". Under Ray Train ranks run in a thread that gets no signals: there the driver writes the file.
"""

import signal
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from pipeline.core.store import STOP
from pipeline.training.order import Order

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOOK_SECONDS = 0.5
"""Between looks at the file: on a file system that hosts share, each costs a round trip."""
REPEATED_SECONDS = 10.0
"""Schedulers and launchers both pass on one and the same signal; one that comes later means: now."""


class Stop:
    """Whether somebody wants this rank to stop."""

    def __init__(self, order: Order) -> None:
        self._file = Path(order.work) / STOP
        self._signalled: float | None = None
        self._looked = -LOOK_SECONDS
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wished(self) -> bool:
        """Tell whether a signal came or the file is there."""
        now = time.monotonic()
        if self._signalled is None and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            if self._file.exists():
                self._signalled = now
        return self._signalled is not None

    def obeyed(self) -> None:
        """Remove the file: the next attempt goes on."""
        self._file.unlink(missing_ok=True)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signalled is None:
            self._signalled = now
        elif now - self._signalled >= REPEATED_SECONDS:
            raise KeyboardInterrupt
