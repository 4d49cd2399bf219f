"""What earlier runs in a store say of the tables: how long a stage takes to start, how much slower than by the table it is."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from pipeline.core.files import read_json
from pipeline.core.store import Store
from pipeline.estimate.machine import Machine
from pipeline.estimate.work import WORK, Recipe, Volume, Work, volume_of

LONGEST_START_SECONDS = 60.0
"""What a short run took longer than by the table is taken for its start, up to this."""
KIND_RATIO = 4.0
"""Models whose tokens cost so many times more or less say nothing of one another."""
MUCH_LARGER = 20.0
WATT_SECONDS_A_KWH = 3.6e6
NEWEST = 12
"""So many runs of a stage are looked at: reading all manifests of a large store takes seconds."""
RANKS = ("pretrain", "finetune", "sweep")


@dataclass(frozen=True)
class Pace:
    """How one stage goes here."""

    start_seconds: float
    slowness: float
    """Its seconds to the table's."""
    swelling: float
    """Its bytes to the table's."""
    watts: float
    basis: str


@dataclass(frozen=True)
class Earlier:
    """An earlier run of a stage: what it took, and what the table says of it."""

    work: Work
    seconds: float
    start_seconds: float
    bytes: float
    energy_kwh: float
    duration_s: float


class Volumes:
    """What artifacts hold, by `label/key`: read from manifests as they are asked for, or foreseen."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Volume] = {}

    def of(self, name: str) -> Volume:
        """Give what an artifact holds; nothing where none is there, or another version made it."""
        if name not in self._known:
            note = self._store.root / name / "manifest.json"
            self._known[name] = Volume()
            with suppress(KeyError):
                if note.exists():
                    manifest = read_json(note)
                    self._known[name] = volume_of(manifest, self.inputs(manifest))
        return self._known[name]

    def inputs(self, recipe: Recipe) -> dict[str, Volume]:
        """Give what the inputs of a recipe hold, by role."""
        return {role: self.of(name) for role, name in recipe["inputs"].items()}

    def foresee(self, name: str, volume: Volume) -> None:
        """Remember what an artifact will hold."""
        self._known[name] = volume


class Past:
    """The runs that made the newest artifacts of a store."""

    def __init__(self, store: Store, volumes: Volumes, machine: Machine) -> None:
        self._store, self._volumes, self._machine = store, volumes, machine
        self._runs: dict[str, list[Earlier]] = {}

    def pace(self, label: str, work: Work) -> Pace:
        """Say how a stage would go: by its earlier runs that are of its kind, else by the table."""
        if label not in self._runs:
            self._runs[label] = list(self._read(label))
        runs = [run for run in self._runs[label] if 1 / KIND_RATIO < run.work.kind / work.kind < KIND_RATIO]
        if not runs:
            return Pace(work.start_seconds, 1.0, 1.0, work.watts, work.basis)
        by_table = sum(run.work.seconds for run in runs)
        largest = max(run.work.seconds for run in runs)
        return Pace(
            start_seconds=fmean(run.start_seconds for run in runs),
            slowness=sum(run.seconds for run in runs) / by_table if by_table else 1.0,
            swelling=sum(run.bytes for run in runs) / max(1.0, sum(run.work.bytes for run in runs)),
            watts=_watts(runs) or work.watts,
            basis=_basis(len(runs), work.seconds / largest if largest else 1.0),
        )

    def _read(self, label: str) -> Iterator[Earlier]:
        notes = sorted(self._store.root.glob(f"{label}/*/manifest.json"), key=lambda note: note.stat().st_mtime)
        for manifest in map(read_json, notes[-NEWEST:]):
            with suppress(KeyError):  # made by another version: it tells nothing
                if (run := _earlier(manifest, self._volumes.inputs(manifest), self._machine)) is not None:
                    yield run


def _earlier(manifest: Mapping[str, Any], inputs: Mapping[str, Volume], machine: Machine) -> Earlier | None:
    """Hold a made artifact against the table, for the machine as it was used; None where it tells nothing."""
    made, label = manifest["made"], manifest["label"]
    places = made.get("places", {})
    if label not in WORK or (label in RANKS and places.get("device", machine.device) != machine.device):
        return None
    then = replace(machine, **{name: places[name] for name in ("workers", "ranks", "threads") if name in places})
    work = WORK[label](manifest, inputs, then, 0)
    duration = float(made["duration_s"])
    start, seconds = _parts(manifest, work, duration)
    kept = sum(file["bytes"] for file in manifest["files"])
    return Earlier(work, seconds, start, kept, float(made["energy_kwh"]), duration)


def _parts(manifest: Mapping[str, Any], work: Work, duration: float) -> tuple[float, float]:
    """Part what a run took into its start and its work: ranks journal their steps, of others the table tells the work."""
    if "measured" not in manifest["facts"] or manifest["label"] == "sweep":  # that is the best trial's
        start = min(max(0.0, duration - work.seconds), LONGEST_START_SECONDS)
        return start, duration - start
    stepping = float(manifest["facts"]["measured"]["seconds"])  # of all attempts, but nothing that was thrown away
    beside = max(0.0, float(manifest["made"].get("attempt_duration_s", duration)) - stepping)
    start = min(beside, LONGEST_START_SECONDS)
    return start, stepping + beside - start


def _watts(runs: Sequence[Earlier]) -> float:
    seconds = sum(run.duration_s for run in runs)
    return sum(run.energy_kwh for run in runs) * WATT_SECONDS_A_KWH / seconds if seconds else 0.0


def _basis(count: int, larger: float) -> str:
    runs = f"from {count} earlier run{'' if count == 1 else 's'} here"
    return f"{runs}, the largest 1/{larger:,.0f} of this" if larger > MUCH_LARGER else runs
