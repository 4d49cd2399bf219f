"""Small stand-ins for our own protocols: a place that works in turn, a record that records nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.core.compute import MakePiece, Piece, Seat, in_turn
from pipeline.core.store import Artifact, Named
from pipeline.core.tracking import Trial


class InTurn:
    """Makes items one after another in this process."""

    def map(
        self,
        fn: MakePiece[Any],
        items: Sequence[Any],
        folders: Sequence[Path],
        done: Callable[[int], None],
        each: Seat = "worker",
    ) -> list[Piece]:
        return in_turn(fn, items, folders, done)

    def gang(self, entry: str, order: Path, watch: Callable[[], None]) -> None:
        raise AssertionError("no ranks here")


class Unrecorded:
    """Is the recorder and the track of a stage that nobody records."""

    @contextmanager
    def stage(self, step: Named, inputs: Mapping[str, Artifact], work: Path) -> Iterator["Unrecorded"]:
        yield self

    def metrics(self, step: int, values: Mapping[str, float]) -> None: ...

    def trial(self, trial: Trial) -> None: ...

    def where(self) -> dict[str, str]:
        return {}

    def made(self, artifact: Artifact) -> None: ...

    complete = True
