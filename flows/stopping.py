"""SIGTERM and SIGINT while a flow runs: ranks make a checkpoint first, anything else ends at once.

Signals come to the main thread, where the flow runs, and Prefect and Ray both put handlers of their own there when they
start. So ours is put back whenever the running stage says how far it is.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from pipeline.core.progress import Progress, Quiet
from pipeline.core.store import STOP

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PATIENCE_SECONDS = 60.0
"""How long ranks may take for the step they are in and a checkpoint; a second signal ends them at once."""
SERVED_PATIENCE_SECONDS = 15.0
"""The same where Prefect's runner started the process: it kills 30 s after its signal, and Ray needs some to end."""
REPEATED_SECONDS = 2.0
"""Schedulers and launchers both pass on one and the same signal; a second one comes later."""
STEPS = "steps"
"""The unit in which a stage tells how far its ranks are; others have none."""


class Stopping:
    """Shows progress as `shown` does, and knows from it what a signal has to stop."""

    def __init__(self, work: Callable[[str], Path], patience_seconds: float = PATIENCE_SECONDS) -> None:
        """`work` gives the scratch folder of a stage by its name; `patience_seconds` is how long its ranks may take."""
        self.shown: Progress = Quiet()
        self._work, self._patience_seconds = work, patience_seconds
        self._training: set[str] = set()
        self._timer: threading.Timer | None = None
        self._before: dict[int, Any] = {}
        self._signalled = -REPEATED_SECONDS

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self._listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._is_main():
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def start(self, name: str) -> None:
        """Show the stage, if nobody asked for an end meanwhile."""
        if self._timer is not None:
            raise KeyboardInterrupt  # the stage before was over when its ranks should have stopped
        self._listen()
        self.shown.start(name)

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        """Remember whether the stage has ranks, and show how far it is."""
        if unit == STEPS:
            self._training.add(name)
        self._listen()
        self.shown.update(name, done, total, unit, note)

    def finish(self, name: str) -> None:
        """Show that the stage is over."""
        self._training.discard(name)
        self.shown.finish(name)

    def _listen(self) -> None:
        if self._is_main():
            for number in SIGNALS:
                signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._signalled < REPEATED_SECONDS:
            return
        self._signalled = now
        if self._timer is not None or not self._training:
            raise KeyboardInterrupt
        for name in self._training:
            (self._work(name) / STOP).touch()
        self._timer = threading.Timer(self._patience_seconds, os.kill, (os.getpid(), signal.SIGTERM))
        self._timer.daemon = True
        self._timer.start()

    def _is_main(self) -> bool:
        return threading.current_thread() is threading.main_thread()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have a signal end at once what has no stages yet: a flow that is about to start."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
