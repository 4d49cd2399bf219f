"""What a running stage tells the person who waits."""

from typing import Protocol


class Progress(Protocol):
    """A place that shows how far each running stage is."""

    def start(self, name: str) -> None:
        """Show that a stage begins."""

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        """Show that `done` of `total` units are done."""

    def finish(self, name: str) -> None:
        """Show that a stage is over, well or badly."""


class Quiet:
    """Shows nothing."""

    def start(self, name: str) -> None:
        """Show nothing."""

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        """Show nothing."""

    def finish(self, name: str) -> None:
        """Show nothing."""
