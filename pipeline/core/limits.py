"""A limit in time on one piece of work, so that no single input can hold up all the others.

The alarm of the operating system rings in the main thread only, where Ray and our own processes run their work.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from pipeline.core.errors import DataError


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop the body after some seconds, wherever it is in Python code or a regular expression.

    Raises: DataError if the body takes longer; RuntimeError outside the main thread, where it could not be stopped.
    """
    with Alarm(seconds) as alarm, alarm.set():
        yield


class Alarm:
    """A limit for many pieces of work, one after another: to set it again costs a microsecond.

    Limits nest: when an inner one is left, the outer one goes on with what it had left.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a limit in time works in the main thread only")
        self._old_ring = signal.signal(signal.SIGALRM, self._ring)
        self._left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._old_ring)
        if self._left:
            signal.setitimer(signal.ITIMER_REAL, self._left)

    def set(self) -> "_Set":
        """Give a context whose body may take the limit's seconds."""
        return _Set(self._seconds)

    def _ring(self, signal_number: int, frame: FrameType | None) -> None:
        raise DataError(
            f"took longer than {self._seconds:g} s; raise recipe.corpus.document_seconds if it should be kept"
        )


class _Set:
    """One run of an alarm's clock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
