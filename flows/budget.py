"""`run.carbon_budget_kg`: what all of a plan has emitted, and ranks that are asked to stop before it is too much.

What counts is all that the plan's artifacts cost, whenever they were made: every attempt at each, the running one too.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.core.energy import MEASURE_SECONDS, spent
from pipeline.core.errors import BudgetReached
from pipeline.core.progress import Progress
from pipeline.core.stage import Step
from pipeline.core.store import STOP, WORK, Store
from pipeline.running import Run

STEPS = "steps"
"""The unit in which a stage tells how far its ranks are."""
TRIALS = "trials"
"""The unit in which a sweep tells how far it is."""
LOOK_SECONDS = 1.0
STOPPING_STEPS = 2
"""Ranks finish the step they are in, and may be in the next when they are told."""
CHECKPOINT_SECONDS = 5.0
"""What is foreseen for the checkpoint and the end of the ranks."""


class Budget:
    """Shows progress as `shown` does; refuses stages, and stops ranks and trials, when the plan would emit too much."""

    def __init__(self, shown: Progress, steps: Sequence[Step], store: Store, limit_kg: float | None) -> None:
        self.reached = False
        self._shown, self._store, self._limit_kg = shown, store, limit_kg
        self._steps = {step.name: step for step in steps}
        self._others_kg = 0.0
        self._began, self._looked = 0.0, -LOOK_SECONDS
        self._first: float | None = None
        self._at = ""

    def start(self, name: str) -> None:
        """Show that a stage begins.

        Raises: BudgetReached if there is nothing left for it.
        """
        self._others_kg = emitted_kg([step for other, step in self._steps.items() if other != name], self._store)
        self._began, self._first = time.monotonic(), None
        self.reached = False  # ranks that were told to stop in their last step ended well
        if self._limit_kg is not None and self._total_kg(name) >= self._limit_kg:
            self.reached, self._at = True, f"before {name}"
            raise self.error()
        self._shown.start(name)

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        """Show how far a stage is, and stop its ranks where what they do until a checkpoint is there would be too much.

        Raises: BudgetReached where trials come close: each has its checkpoints, and goes on from there.
        """
        self._shown.update(name, done, total, unit, note)
        if unit in (STEPS, TRIALS) and self._limit_kg is not None and not self.reached and done < total:
            self._look(name, done, total, unit)

    def finish(self, name: str) -> None:
        """Show that a stage is over."""
        self._shown.finish(name)

    def error(self) -> BudgetReached:
        """Say what was reached, where, and how to go on."""
        total = emitted_kg(self._steps.values(), self._store)
        return BudgetReached(
            f"run.carbon_budget_kg={self._limit_kg:g}: reached {self._at} ({total:.3g} kg); what is made and the "
            "checkpoint are kept: run again with a higher budget to go on"
        )

    def _look(self, name: str, done: float, total: float, unit: str) -> None:
        """Read the journal of the running stage, and foresee what it emits until its ranks or trials have stopped."""
        now = time.monotonic()
        if self._first is None:
            self._began, self._first = now, done
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        ahead = MEASURE_SECONDS + (self._until_checkpoint(now, done) if unit == STEPS else 0.0)
        journal = spent(self._work(name) / "attempts")
        rate = journal["emissions_kg"] / journal["duration_s"] if journal["duration_s"] else 0.0
        if self._others_kg + journal["emissions_kg"] + ahead * rate > (self._limit_kg or 0.0):
            if unit == TRIALS:
                self.reached, self._at = True, f"after {done:,.0f} of {total:,.0f} trials"
                raise self.error()
            self.reached, self._at = True, f"at step {done:,.0f} of {total:,.0f}"
            (self._work(name) / STOP).touch()

    def _until_checkpoint(self, now: float, done: float) -> float:
        """Foresee the seconds until ranks that are told to stop have written a checkpoint."""
        steps = done - (self._first or 0.0)
        return STOPPING_STEPS * (now - self._began) / steps + CHECKPOINT_SECONDS if steps else CHECKPOINT_SECONDS

    def _total_kg(self, name: str) -> float:
        return self._others_kg + spent(self._work(name) / "attempts")["emissions_kg"]

    def _work(self, name: str) -> Path:
        return self._store.folder(self._steps[name]) / WORK


def emitted_kg(steps: Iterable[Step], store: Store) -> float:
    """Sum what artifacts emitted when they were made, and what attempts at the others did until now."""
    return sum(_emitted(step, store) for step in {step.key: step for step in steps}.values())


def over_budget(steps: Sequence[Step], store: Store, run: Run, estimated_kg: float) -> str | None:
    """Say that a plan's estimate passes the budget; None where it does not, or there is none."""
    if run.carbon_budget_kg is None:
        return None
    total = emitted_kg(steps, store) + estimated_kg
    if total <= run.carbon_budget_kg:
        return None
    return (
        f"run.carbon_budget_kg={run.carbon_budget_kg:g}: this plan would come to {total:.3g} kg with what is made; "
        "pretraining will pause before that"
    )


def _emitted(step: Step, store: Store) -> float:
    made = store.find(step)
    if made:
        return float(made.manifest["made"]["emissions_kg"])
    return spent(store.folder(step) / WORK / "attempts")["emissions_kg"]
