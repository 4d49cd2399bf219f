"""Following the curve journal while ranks append to it: figures for the record, progress for the person who waits.

After a restart or a rewind the journal is cut back to the checkpoint and goes on, so a follower that finds it shorter
begins again; whoever records the figures passes over the steps it knows.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.model.shape import Shape
from pipeline.training.journal import read_lines
from pipeline.training.throughput import derived, peak_tflops, perplexity

log = logging.getLogger("pretrace")

NOT_METRICS = frozenset({"step", "phase", "attended", "to_step", "batch"})
GRADED = ("classify", "choose", "span", "tag")
TOLD = ("loss", "held_out_mlm_loss", "held_out_regress_loss", *(f"held_out_{kind}_accuracy" for kind in GRADED))
TERA = 1e12


@dataclass(frozen=True)
class Watched:
    """The job that is watched: its scratch folder, its steps, and what utilisation is a share of."""

    work: Path
    steps: int
    shape: Shape
    peak_tflops: float | None  # of one device; None: by the table of known ones


class Follower:
    """Reads what was appended since it last looked, and passes it on."""

    def __init__(
        self,
        watched: Watched,
        metrics: Callable[[int, Mapping[str, float]], None],
        show: Callable[[float, float, str, str], None],
    ) -> None:
        self._watched = watched
        self._journal = watched.work / "curve.jsonl"
        self._metrics = metrics
        self._show = show
        self._offset, self._inode = 0, 0
        self._newest: dict[str, float] = {"step": 0}
        self._tokens = 0.0
        self._first: tuple[float, float] | None = None  # when figures first came, and the tokens until then
        self._told: set[str] = set()

    def poll(self) -> None:
        """Read what is new; a line that is not whole yet is left for the next time."""
        if not self._journal.exists():
            return
        stat = self._journal.stat()
        if stat.st_ino != self._inode or stat.st_size < self._offset:
            self._offset, self._inode = 0, stat.st_ino  # cut back: another file, perhaps longer already
            self._first = None  # what is read again was not computed again
        with self._journal.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        peak = self._peak() if whole else None
        for line in whole.splitlines():
            self._take(json.loads(line), peak)
        if whole:
            self._show(self._newest["step"], self._watched.steps, "steps", self._note())

    def _take(self, line: dict[str, Any], peak: float | None) -> None:
        if "event" in line:
            self._tell(line)
            return
        figures = {name: float(value) for name, value in line.items() if isinstance(value, int | float)}
        if "loss" in line:
            figures |= derived(figures, self._watched.shape, peak)
        figures |= perplexity(figures)
        self._newest |= figures
        self._tokens += figures.get("tokens", 0)
        self._metrics(line["step"], {name: value for name, value in figures.items() if name not in NOT_METRICS})

    def _tell(self, line: dict[str, Any]) -> None:
        """Log what happened to the ranks, once, though the journal may be read again."""
        told = json.dumps(line, sort_keys=True)
        if told not in self._told:
            self._told.add(told)
            about = ", ".join(f"{name} {value}" for name, value in line.items() if name not in ("step", "event"))
            log.warning("step %d: %s: %s", line["step"], line["event"].replace("_", " "), about)

    def _peak(self) -> float | None:
        """Return what all ranks of the running attempt can do together, in operations a second."""
        attempts = read_lines(self._watched.work / "attempts.jsonl")
        if not attempts:
            return None
        each = self._watched.peak_tflops or peak_tflops(attempts[-1].get("device", ""))
        return each and each * TERA * float(attempts[-1]["ranks"])

    def _note(self) -> str:
        now = time.monotonic()
        if self._first is None:
            self._first = (now, self._tokens)
        seconds, tokens = now - self._first[0], self._tokens - self._first[1]
        rate = [f"{tokens / seconds:,.0f} tokens/s"] if seconds > 1 else []
        return " ".join([*(f"{name} {self._newest[name]:.3f}" for name in TOLD if name in self._newest), *rate])
