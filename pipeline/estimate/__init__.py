"""What a plan would cost before it runs: time, energy, CO2 and disk of every step that is not made.

A table says how long a stage takes (`work`), on the machine that is here (`machine`); earlier runs in the same store say by
how much the table is wrong here (`past`). Each estimate says what it rests on.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from pipeline.core.grid import grid_of
from pipeline.core.stage import Step
from pipeline.core.store import Store
from pipeline.estimate.machine import Machine, machine_of
from pipeline.estimate.past import Past, Volumes
from pipeline.estimate.work import WORK, Volume, Work, adopted
from pipeline.model.shape import read_shape
from pipeline.running import Run

WATT_SECONDS_A_KWH = 3.6e6


@dataclass(frozen=True)
class Estimate:
    """What making an artifact would cost."""

    seconds: float
    energy_kwh: float
    emissions_kg: float
    disk_bytes: float
    """What stays."""
    basis: str
    scratch_bytes: float = 0.0
    """What it takes besides while it is made: checkpoints."""


def estimate(steps: Sequence[Step], store: Store, run: Run) -> dict[str, Estimate]:
    """Estimate each step of a plan that is not made, by its name.

    Raises: ConfigError if codecarbon knows no such country.
    """
    machine, grid = machine_of(run), grid_of(run.country, run.grid_g_per_kwh)
    volumes = Volumes(store)
    past = Past(store, volumes, machine)
    found = {}
    for step in steps:
        if store.find(step) or (work := _work(step, volumes, machine, run.keep_checkpoints)) is None:
            continue
        pace = past.pace(step.label, work)
        volumes.foresee(f"{step.label}/{step.key}", work.volume)
        seconds = pace.start_seconds + pace.slowness * work.seconds
        energy = seconds * pace.watts / WATT_SECONDS_A_KWH
        found[step.name] = Estimate(
            seconds, energy, grid.emissions_kg(energy), work.bytes * pace.swelling, pace.basis, work.scratch_bytes
        )
    return found


def _work(step: Step, volumes: Volumes, machine: Machine, keep: int) -> Work | None:
    """Say how much work a step is; None where what it goes on from tells nothing, as another version made it."""
    with suppress(KeyError):
        work = WORK[step.label](step.recipe, volumes.inputs(step.recipe), machine, keep)
        return replace(work, volume=_brought(step)) if step.label == "adopt" else work
    return None


def _brought(step: Step) -> Volume:
    """Say what a model made elsewhere will bring: of its shape, its folder alone tells."""
    return adopted(read_shape(step.sources["model"][0].path.parent))
