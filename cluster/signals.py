"""Signals of a driver: Ray puts handlers of its own there when it starts, and those abort the process."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put the handlers back that were there before; Ray's native one is not seen by Python, so they are set anew."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: set by native code, and not for Python to set
                signal.signal(number, handler)
