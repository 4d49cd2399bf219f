"""Checkpoints beside the loop: it stands still while the state is copied, and a thread of rank 0 writes the copy.

One is written at a time. A checkpoint that falls due meanwhile is late and not waited for: waiting would make the loop
as slow as the disk, and a second copy of the state would take the memory of the first again. What a killed run can lose
grows by the time of one write.
"""

import logging
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.training import checkpoint
from pipeline.training.checkpoint import Skips, State
from pipeline.training.journal import Journal
from pipeline.training.order import Order
from pipeline.training.zero import Engine

log = logging.getLogger(__name__)


class Saver:
    """Makes checkpoints from `step` on; the ranks without a journal only take part in gathering the state."""

    def __init__(self, order: Order, identity: str, journal: Journal | None, step: int, skips: Skips) -> None:
        self._order, self._identity, self._journal, self._skips = order, identity, journal, skips
        self._step, self._saved = step, time.monotonic()
        self._writer: threading.Thread | None = None
        self._failures: list[Exception] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait for what is being written, whatever ended the loop."""
        if error is None:
            self.wait()
            return
        try:
            self.wait()
        except Exception:  # whatever the writer met: what ended the loop is on its way, and must not be hidden by it
            log.exception("the last checkpoint was not written")

    def due(self, step: int) -> bool:
        """Tell rank 0, whose clock counts, whether a checkpoint of `step` is wanted and can be written.

        Raises: what the last one's writer met, e.g. OSError for a full disk.
        """
        if self._journal is None or (self._writer is not None and self._writer.is_alive()):
            return False
        self.wait()
        run = self._order.run
        late = run.checkpoint_seconds is not None and time.monotonic() - self._saved >= run.checkpoint_seconds
        every = run.checkpoint_steps
        return late or (every is not None and step // every > self._step // every)

    def save(self, engine: Engine, step: int) -> float:
        """Copy the state, have it written, and return the seconds that this took; every rank must call it."""
        begin = time.perf_counter()
        self.wait()
        state = engine.gather()
        if state is not None and self._journal is not None:
            self._journal.flush()
            self._writer = threading.Thread(
                target=self._write, args=(state, step, self._step), name="saving", daemon=True
            )
            self._writer.start()
        self._step, self._saved = step, time.monotonic()
        return time.perf_counter() - begin

    def wait(self) -> None:
        """Return when nothing is being written.

        Raises: what the writer met.
        """
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._failures:
            raise self._failures.pop()

    def _write(self, state: State, step: int, after: int) -> None:
        assert self._journal is not None
        try:
            self._journal.sync()  # a checkpoint promises that the curve up to it is there
            work, keep = Path(self._order.work), self._order.run.keep_checkpoints
            checkpoint.write(work, state, step=step, after=after, order=self._identity, keep=keep, skips=self._skips)
            log.info("step %d: checkpoint written", step)
        except Exception as error:  # noqa: BLE001  # raised again in the loop
            self._failures.append(error)
