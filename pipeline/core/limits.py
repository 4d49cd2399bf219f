"""A limit in time on one piece of work, so that no single input can hold up all the others.

The alarm of the operating system rings in the main thread only, where Ray and our own processes run their work. It is set
once for many pieces of work and rings now and then, to look whether the piece that it found at work is another than last
time: to begin and end a piece costs an addition each, and no call of the system.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from pipeline.core.errors import DataError

LOOKS = 10
"""How often within a limit is looked."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop the body after some seconds and at most a fifth more, wherever it is in Python code or a regular expression.

    Raises: DataError if the body takes longer; RuntimeError outside the main thread, where it could not be stopped.
    """
    with Alarm(seconds) as alarm, alarm.set():
        yield


class Alarm:
    """A limit for many pieces of work, one after another.

    Limits nest: while an inner one is in force, the outer one goes on, unless it is the limit of some other library: that
    one waits until the inner one is left.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._work = _Work()
        self._seen, self._since = 0, 0.0
        self._in_force = False

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a limit in time works in the main thread only")
        self._old_ring = signal.getsignal(signal.SIGALRM)
        owner = getattr(self._old_ring, "__self__", None)
        self._outer = owner if isinstance(owner, Alarm) else None
        self._in_force = True
        signal.signal(signal.SIGALRM, self._ring)
        tick = self._seconds / LOOKS
        self._old_timer = signal.setitimer(signal.ITIMER_REAL, tick, tick)
        if self._outer and self._old_timer[1] < tick:
            signal.setitimer(signal.ITIMER_REAL, *self._old_timer)
        return self

    def __exit__(self, *_: object) -> None:
        self._in_force = False
        if self._outer and not self._outer._in_force:  # it was left before, by a generator that is closed only now
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._old_ring)
        if self._old_timer[0]:
            signal.setitimer(signal.ITIMER_REAL, *self._old_timer)

    def set(self) -> "_Work":
        """Give a context whose body may take the limit's seconds; it may be entered again and again."""
        return self._work

    def _ring(self, signal_number: int, frame: FrameType | None) -> None:
        if self._outer:
            self._outer._ring(signal_number, frame)
        number = self._work.number
        if number != self._seen:
            self._seen, self._since = number, time.monotonic()
        elif number % 2 and time.monotonic() - self._since >= self._seconds:
            raise DataError(
                f"took longer than {self._seconds:g} s; raise recipe.corpus.document_seconds if it should be kept"
            )


class _Work:
    """Counts beginnings and ends of work: odd while something is being worked on."""

    def __init__(self) -> None:
        self.number = 0

    def __enter__(self) -> None:
        self.number += 1

    def __exit__(self, *_: object) -> None:
        self.number += 1
