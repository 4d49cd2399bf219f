"""`run.fault`, a test aid: a stage that fails once, so that a person or a test can see what a retry does."""

from collections.abc import Callable
from pathlib import Path

from pipeline.core.errors import ComputeError
from pipeline.core.progress import Progress

MARK = "fault"
"""In the scratch of a stage that has failed on purpose: it does so once."""
WAITS = ("artifacts", "turns")
"""Units in which a stage tells that it waits; others count its work."""


class Fault:
    """Shows progress as `shown` does, and fails the stage that `fault` names, once, after so many units of its work."""

    def __init__(self, shown: Progress, fault: str, work: Callable[[str], Path]) -> None:
        """`fault` is a stage and a number, `pretrain:20`, or empty; `work` gives a stage's scratch folder by its name."""
        self._shown, self._fault, self._work = shown, fault, work
        self._stage, _, number = fault.partition(":")
        self._after = int(number or 0)

    def start(self, name: str) -> None:
        """Show that a stage begins."""
        self._shown.start(name)

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        """Show how far a stage is.

        Raises: ComputeError, once, if it is the one to fail and has come so far.
        """
        self._shown.update(name, done, total, unit, note)
        if self._is_meant(name) and unit not in WAITS and done >= self._after:
            mark = self._work(name) / MARK
            if not mark.exists():
                mark.touch()
                raise ComputeError(
                    f"run.fault={self._fault}: fails on purpose at {done:,.0f} of {total:,.0f} {unit}; retry it, or run "
                    "the same again, and it goes on"
                )

    def finish(self, name: str) -> None:
        """Show that a stage is over."""
        self._shown.finish(name)

    def _is_meant(self, name: str) -> bool:
        return bool(self._fault) and (name == self._stage or name.startswith(f"{self._stage}-"))
