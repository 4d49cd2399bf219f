"""Progress on a terminal: a bar for each running stage; elsewhere a line every few seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pipeline.core.progress import Progress as Shown

LINE_SECONDS = 5.0
PLAIN_WIDTH = 120
"""Columns where there is no terminal to ask: a file, a log."""


class Bars:
    """A bar for each running stage: done, rate, remaining time."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._ids: dict[str, TaskID] = {}

    def start(self, name: str) -> None:
        """Show a bar that does not know its length yet."""
        self._ids[name] = self._bars.add_task(name, total=None, note="")

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        """Move the bar."""
        self._bars.update(
            self._ids[name], completed=done, total=total, unit=unit, note=f"{done:,.0f}/{total:,.0f} {unit} {note}"
        )

    def finish(self, name: str) -> None:
        """Take the bar away; what was made is told in the table at the end."""
        self._bars.remove_task(self._ids.pop(name))


@dataclass
class _Running:
    started: float
    first: float | None = None  # units done when first told: a resumed stage begins with some
    first_at: float = 0.0
    told: float = 0.0
    last: str = ""


@dataclass
class Lines:
    """A line when a stage starts and ends, and one every few seconds between."""

    console: Console
    _stages: dict[str, _Running] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Say that the stage begins."""
        self._stages[name] = _Running(time.monotonic())
        self.console.print(f"{name}: started", highlight=False, soft_wrap=True)

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        """Say how far the stage is, if it was not said just now."""
        stage = self._stages[name]
        now = time.monotonic()
        if stage.first is None:
            stage.first, stage.first_at = done, now
        stage.last = f"{name}: {done:,.0f}/{total:,.0f} {unit}{_pace(stage, done, total, unit, now)} {note}".rstrip()
        if now - stage.told >= LINE_SECONDS:
            stage.told = now
            self.console.print(stage.last, highlight=False, soft_wrap=True)

    def finish(self, name: str) -> None:
        """Say how long the stage took."""
        stage = self._stages.pop(name)
        if stage.last:
            self.console.print(stage.last, highlight=False, soft_wrap=True)
        self.console.print(
            f"{name}: ended after {time.monotonic() - stage.started:.0f} s", highlight=False, soft_wrap=True
        )


def _pace(stage: _Running, done: float, total: float, unit: str, now: float) -> str:
    gained, seconds = done - (stage.first or 0.0), now - stage.first_at
    if gained <= 0 or seconds <= 0:
        return ""
    rate = gained / seconds
    return f", {rate:,.1f} {unit}/s, {(total - done) / rate:,.0f} s left"


class _Rate(ProgressColumn):
    """Units a second, as rich smooths them."""

    def render(self, task: Task) -> Text:
        """Show nothing until there is a rate to show."""
        unit = task.fields.get("unit", "")
        return Text(f"{task.speed:,.1f} {unit}/s" if task.speed else "")


@contextmanager
def shown(out: Console) -> Iterator[Shown]:
    """Show progress in the way that suits where the output goes."""
    if not out.is_terminal:
        yield Lines(out)
        return
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out) as bars:
        yield Bars(bars)


def console() -> Console:
    """Make the console that commands print to."""
    out = Console()
    return out if out.is_terminal else Console(width=PLAIN_WIDTH)
