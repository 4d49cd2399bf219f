"""Following the curve journal while ranks append to it: figures for the record, progress for the person who waits.

After a restart the journal is cut back to the checkpoint and goes on, so a follower that finds it shorter begins again;
whoever records the figures passes over the steps it knows.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

NOT_METRICS = frozenset({"step", "phase"})


class Follower:
    """Reads what was appended since it last looked, and passes it on."""

    def __init__(
        self,
        journal: Path,
        total_steps: int,
        metrics: Callable[[int, Mapping[str, float]], None],
        show: Callable[[float, float, str, str], None],
    ) -> None:
        self._journal = journal
        self._total_steps = total_steps
        self._metrics = metrics
        self._show = show
        self._offset = 0
        self._newest: dict[str, float] = {}
        self._tokens = 0.0
        self._first: tuple[float, float] | None = None  # when figures first came, and the tokens until then

    def poll(self) -> None:
        """Read what is new; a line that is not whole yet is left for the next time."""
        if not self._journal.exists():
            return
        if self._journal.stat().st_size < self._offset:
            self._offset = 0
        with self._journal.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._take(json.loads(line))
        if whole:
            self._show(self._newest["step"], self._total_steps, "steps", self._note())

    def _take(self, line: dict[str, Any]) -> None:
        figures = {name: value for name, value in line.items() if isinstance(value, int | float)}
        self._newest |= figures
        self._tokens += figures.get("tokens", 0)
        self._metrics(line["step"], {name: value for name, value in figures.items() if name not in NOT_METRICS})

    def _note(self) -> str:
        now = time.monotonic()
        if self._first is None:
            self._first = (now, self._tokens)
        seconds, tokens = now - self._first[0], self._tokens - self._first[1]
        rate = [f"{tokens / seconds:,.0f} tokens/s"] if seconds > 1 else []
        losses = [
            name for name in ("loss", "held_out_mlm_loss", "held_out_classification_accuracy") if name in self._newest
        ]
        return " ".join([*(f"{name} {self._newest[name]:.3f}" for name in losses), *rate])
