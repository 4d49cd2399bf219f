"""What a loss or a gradient norm must not do, and which batches training goes round because one did.

A bad step sends training back to the last checkpoint, from where it goes on past the batch of that step. Which batches
are passed over is written down before training goes back, so that a run killed at any moment goes the same way.
"""

import math
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from pipeline.core.files import read_json, sync_folder, write_json
from pipeline.training.checkpoint import Skips
from pipeline.training.journal import Line

WINDOW = 50
"""Steps whose median a loss is held against."""
FEWEST = 10
"""Steps before which no loss is called a spike."""


@dataclass(frozen=True)
class Rewind:
    """Why training went back, and the batch that it passes over since."""

    step: int
    phase: int
    batch: int  # its number in the phase
    reason: str


class Spiked(Exception):  # noqa: N818 - no failure yet: whoever catches it goes on elsewhere
    """A step that training must not keep."""

    def __init__(self, rewind: Rewind) -> None:
        super().__init__(rewind.reason)
        self.rewind = rewind


class Guard:
    """Looks at every loss; knows those of the last steps, also the ones an earlier attempt made."""

    def __init__(self, spike_nats: float | None, lines: list[Line]) -> None:
        self._spike_nats = spike_nats
        self._phase = 0
        self._losses: deque[float] = deque(maxlen=WINDOW)
        for line in lines:
            self._remember(line["phase"], line["loss"])

    def look(self, phase: int, loss: float) -> str | None:
        """Say what is wrong with a loss; one with which nothing is wrong counts for the next."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if phase == self._phase and self._spike_nats is not None and len(self._losses) >= FEWEST:
            above = loss - median(self._losses)
            if above > self._spike_nats:
                return f"the loss is {loss:.3f}, {above:.3f} above the median of the last {len(self._losses)} steps"
        self._remember(phase, loss)
        return None

    def _remember(self, phase: int, loss: float) -> None:
        if phase != self._phase:
            self._losses.clear()
            self._phase = phase
        self._losses.append(loss)


class Rewinds:
    """The rewinds of one order, in a file of its work folder."""

    def __init__(self, work: Path, order: str) -> None:
        self._path, self._order = work / "rewinds.json", order

    def read(self) -> tuple[Rewind, ...]:
        """Read those of all attempts."""
        if not self._path.exists():
            return ()
        noted = read_json(self._path)
        return tuple(Rewind(**plain) for plain in noted["rewinds"]) if noted["order"] == self._order else ()

    def add(self, rewind: Rewind) -> None:
        """Note one more, on the disk when this returns."""
        rewinds = [asdict(one) for one in (*self.read(), rewind)]
        write_json(self._path, {"order": self._order, "rewinds": rewinds})
        sync_folder(self._path.parent)


def skips_of(rewinds: tuple[Rewind, ...]) -> Skips:
    """Give the batches to pass over."""
    return tuple((rewind.phase, rewind.batch) for rewind in rewinds)
