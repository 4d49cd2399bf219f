"""Stages, steps and the one place that decides whether to make an artifact.

A *stage* is a function from a slice of the recipe and its inputs to files and facts. A *step* is a stage with its config
and inputs: a name for an artifact; building one runs nothing. `materialize` finds the artifact of a step or makes it.
"""

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pipeline.core.compute import Compute, Facts, StageCompute, sweep_drafts
from pipeline.core.energy import Meter
from pipeline.core.errors import BusyError, StoreError
from pipeline.core.files import SourceFile
from pipeline.core.fingerprint import key_of
from pipeline.core.lineage import inherited, provenance
from pipeline.core.progress import Progress
from pipeline.core.section import Section
from pipeline.core.store import WORK, Artifact, Store, contents_of
from pipeline.core.tracking import Recorder, Track


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

    Raises: BusyError if another process is making it; whatever the stage raises, with the draft kept for the next attempt.
    """
    found = store.find(step)
    if found and found.settled:
        return found, False
    try:
        with store.making(step) as draft:
            if found := store.find(step):  # made while we came for the lock, or by one who could not end the record
                _settle(step, found, store, recorder)
                return found, False
            return _make(step, draft, store, compute, recorder, progress, run), True
    except BusyError:
        if found:  # its maker is ending the record at this moment
            return found, False
        raise
    except OSError as error:
        raise _named(error, store.root) from error


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
    pieces = store.root / "pieces" / step.label
    pieces.mkdir(parents=True, exist_ok=True)
    sweep_drafts(pieces)
    inputs = _inputs(step, store)
    show = partial(progress.update, step.name)
    meter = Meter(draft / WORK / "attempts", run.country)
    progress.start(step.name)
    try:
        with recorder.stage(step, inputs, draft / WORK) as track, meter:
            context = Context(
                out=draft,
                work=draft / WORK,
                inputs=inputs,
                sources=step.sources,
                compute=StageCompute(
                    compute,
                    pieces,
                    {"stage": step.label, "version": step.stage.version},
                    show,
                ),
                run=run,
                track=track,
                show=show,
            )
            facts = step.stage.make(step.config, context)
            meter.stop()
            cost = meter.total()
            made = {
                **provenance(step.sources),
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
