"""Stages, steps and the one place that decides whether to make an artifact.

A *stage* is a function from a slice of the recipe and its inputs to files and facts. A *step* is a stage with its config
and inputs: a name for an artifact; building one runs nothing. `materialize` finds the artifact of a step or makes it.
"""

import errno
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.core.compute import Compute, Facts, StageCompute, sweep_drafts
from pipeline.core.energy import Meter
from pipeline.core.errors import BusyError, StoreError
from pipeline.core.files import SourceFile
from pipeline.core.fingerprint import key_of
from pipeline.core.lineage import inherited, provenance, shared
from pipeline.core.progress import Progress
from pipeline.core.section import Section
from pipeline.core.store import STOP, WORK, Artifact, Store, contents_of
from pipeline.core.tracking import Recorder, Track
from pipeline.core.turns import LOOK_SECONDS, turn

PLACES = ("workers", "ranks", "threads", "device")
"""Settings of `run` that a manifest tells: how long it took depends on them."""


@dataclass(frozen=True)
class Context:
    """All that a stage may touch besides its config."""

    out: Path
    """Where its files go; what a killed attempt wrote is still there."""
    work: Path
    """Scratch that outlives a killed attempt and ends at commit: checkpoints, journals."""
    inputs: Mapping[str, Artifact]
    sources: Mapping[str, tuple[SourceFile, ...]]
    compute: StageCompute
    run: Any
    """The `run` half of the config: how and where, never what."""
    track: Track
    show: Callable[[float, float, str, str], None]
    """Show progress: done, total, unit, note."""


StageFunction = Callable[[Any, Context], Facts]


@dataclass(frozen=True)
class Stage:
    """A stage: its name everywhere, the version of the bytes it writes, and what makes them."""

    name: str
    version: int
    make: StageFunction


def stage(version: int) -> Callable[[StageFunction], Stage]:
    """Declare a stage. Raise `version` when the bytes it writes for the same recipe change."""
    return lambda function: Stage(function.__name__, version, function)


@dataclass(frozen=True)
class Step:
    """A stage with its config and inputs: the name of an artifact, made or not."""

    stage: Stage
    config: Section
    inputs: Mapping[str, "Step"] = field(default_factory=dict)
    sources: Mapping[str, tuple[SourceFile, ...]] = field(default_factory=dict)
    variant: str = ""

    @property
    def label(self) -> str:
        """The name of its stage: the folder in the store, the section in the config."""
        return self.stage.name

    @property
    def name(self) -> str:
        """Its name in this plan: the stage's, and what tells it from others of the same stage."""
        return f"{self.label}-{self.variant}" if self.variant else self.label

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The plain data that its bytes depend on."""
        return {
            "stage": self.stage.name,
            "version": self.stage.version,
            "config": self.config.what(),
            "inputs": {role: f"{step.label}/{step.key}" for role, step in sorted(self.inputs.items())},
            "sources": {role: [file.what() for file in files] for role, files in sorted(self.sources.items())},
        }

    @cached_property
    def key(self) -> str:
        """12 hex digits that name its artifact."""
        return key_of(self.recipe)


def materialize(
    step: Step, store: Store, compute: Compute, recorder: Recorder, progress: Progress, run: Any
) -> tuple[Artifact, bool]:
    """Find the artifact of a step or make it; also says whether it was made now.

    While another process makes it, wait: it is found when that one ends well, and made here when it does not.

    Raises: whatever the stage raises, with the draft kept for the next attempt.
    """
    try:
        with ExitStack() as right:
            come_to = _come_to(step, store, progress, right)
            if isinstance(come_to, Artifact):
                return come_to, False
            if found := store.find(step):  # made while we came for the lock, or by one who could not end the record
                _settle(step, found, store, recorder)
                return found, False
            return _make(step, come_to, store, compute, recorder, progress, run), True
    except OSError as error:
        raise _named(error, store.root) from error


def _come_to(step: Step, store: Store, progress: Progress, right: ExitStack) -> Artifact | Path:
    """Find the artifact, or take the right to make it; where another process has that, wait for either."""
    with _Waiting(step.name, progress) as waiting:
        while True:
            found = store.find(step)
            if found and found.settled:
                return found
            try:
                return right.enter_context(store.making(step))
            except BusyError:
                if found:  # its maker is ending the record at this moment
                    return found
            waiting.tell(f"waiting for {step.label}/{step.key}, which {store.maker(step)} makes")
            time.sleep(LOOK_SECONDS)


class _Waiting:
    """Shows that a stage waits, once it does and until it need not."""

    def __init__(self, name: str, progress: Progress) -> None:
        self._name, self._progress = name, progress
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._shown:
            self._progress.finish(self._name)

    def tell(self, note: str) -> None:
        """Say what it waits for."""
        if not self._shown:
            self._progress.start(self._name)
            self._shown = True
        self._progress.update(self._name, 0, 1, "artifacts", note)


def _settle(step: Step, artifact: Artifact, store: Store, recorder: Recorder) -> None:
    """End the record of an artifact whose maker was killed, or lost the tracking server, after the commit."""
    work = artifact.path / WORK
    if any(work.iterdir()):
        with recorder.stage(step, _inputs(step, store), work) as track:
            track.made(artifact)
        if not track.complete:
            return
    store.tidy(artifact)


def _inputs(step: Step, store: Store) -> dict[str, Artifact]:
    return {role: store.get(f"{dep.label}/{dep.key}") for role, dep in step.inputs.items()}


def _make(
    step: Step, draft: Path, store: Store, compute: Compute, recorder: Recorder, progress: Progress, run: Any
) -> Artifact:
    name, pieces = f"{step.label}/{step.key}", store.root / "pieces" / step.label
    pieces.mkdir(parents=True, exist_ok=True)
    sweep_drafts(pieces)
    inputs = _inputs(step, store)
    show = partial(progress.update, step.name)
    meter = Meter(draft / WORK / "attempts", run.country, run.grid_g_per_kwh)
    (draft / WORK / STOP).unlink(missing_ok=True)  # an attempt before this one was asked to stop
    progress.start(step.name)
    try:
        with recorder.stage(step, inputs, draft / WORK) as track, meter:
            own = StageCompute(
                compute,
                pieces,
                {"stage": step.label, "version": step.stage.version},
                show,
                partial(turn, store.root / "locks" / "ranks", run.max_concurrent_pretrains, name),
                draft / WORK / "attempts",
                name,
            )
            context = Context(
                out=draft,
                work=draft / WORK,
                inputs=inputs,
                sources=step.sources,
                compute=own,
                run=run,
                track=track,
                show=show,
            )
            facts = step.stage.make(step.config, context)
            meter.stop()
            cost = meter.total() | shared(own.used, name, inputs.values(), store)
            made = {
                **provenance(step.sources, run.operator, {name: getattr(run, name) for name in PLACES}),
                "inputs": {role: contents_of(artifact.manifest) for role, artifact in inputs.items()},
                "tracking": track.where(),
                **cost,
                **inherited(cost, inputs.values(), store),
            }
            artifact = store.commit(step, facts, made)
            track.made(artifact)
        if track.complete:  # else what was not sent lies there, for the next run to send
            store.tidy(artifact)
        return artifact
    finally:
        progress.finish(step.name)


def _named(error: OSError, root: Path) -> Exception:
    """Say in one sentence what a full or failing disk means; other failures stay as they are."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"run.store={root}: the disk is full; free some space and run again, finished pieces are kept"
        )
    if error.errno in (errno.EROFS, errno.EACCES):
        return StoreError(f"run.store={root}: cannot be written ({error.strerror}); name another folder")
    return error
