"""SIGTERM and SIGINT while a flow runs: ranks make a checkpoint first, anything else ends at once.

Signals come to the main thread, where the flow runs, and Prefect and Ray both put handlers of their own there when they
start. So ours is put back whenever the running stage says how far it is.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from pipeline.core.progress import Progress

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PATIENCE_SECONDS = 60.0
"""How long ranks may take for the step they are in and a checkpoint; a second signal ends them at once."""
REPEATED_SECONDS = 2.0
"""Schedulers and launchers both pass on one and the same signal; a second one comes later."""
STEPS = "steps"
"""The unit in which a stage tells how far its ranks are; others have none."""


class Stopping:
    """Shows progress as `shown` does, and knows from it what a signal has to stop."""

    def __init__(self, shown: Progress, work: Callable[[str], Path]) -> None:
        """`work` gives the scratch folder of a stage by its name."""
        self._shown, self._work = shown, work
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
        """Forget that an earlier run was stopped, and show the stage."""
        if self._timer is not None:
            raise KeyboardInterrupt  # the stage before was over when its ranks should have stopped
        (self._work(name) / "stop").unlink(missing_ok=True)
        self._listen()
        self._shown.start(name)

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        """Remember whether the stage has ranks, and show how far it is."""
        if unit == STEPS:
            self._training.add(name)
        self._listen()
        self._shown.update(name, done, total, unit, note)

    def finish(self, name: str) -> None:
        """Show that the stage is over."""
        self._training.discard(name)
        self._shown.finish(name)

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
            (self._work(name) / "stop").touch()
        self._timer = threading.Timer(PATIENCE_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
        self._timer.daemon = True
        self._timer.start()

    def _is_main(self) -> bool:
        return threading.current_thread() is threading.main_thread()
