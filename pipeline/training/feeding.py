"""The next batches, made by a thread while the step computes.

What is made is a pure function of the step, so that how far ahead it is made changes nothing. The kernels that pad and
hide tokens let go of Python's lock: the thread takes next to no time from the loop.
"""

import queue
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

AHEAD = 2
"""Steps: one that is ready, and one that is being made when the loop asks."""


class Ahead(Generic[T], Iterator[T]):
    """An iterator whose next items are being made by a thread; what goes wrong there is raised here."""

    def __init__(self, items: Iterable[T]) -> None:
        self._ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(AHEAD)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._make, args=(iter(items),), name="feeding", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __next__(self) -> T:
        item, error = self._ready.get()
        if error is not None:
            self._ready.put((None, error))  # for whoever asks again
            raise error
        assert item is not None
        return item

    def close(self) -> None:
        """End the thread; what it made is dropped."""
        self._over.set()
        while self._thread.is_alive():
            try:
                self._ready.get(timeout=0.01)
            except queue.Empty:
                continue

    def _make(self, items: Iterator[T]) -> None:
        try:
            for item in items:
                self._ready.put((item, None))
                if self._over.is_set():
                    return
            self._ready.put((None, StopIteration()))
        except Exception as error:  # noqa: BLE001  # raised again in the loop
            self._ready.put((None, error))
