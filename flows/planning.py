"""A plan against a store: digests of outside files are remembered there, and a plan can be cut at a stage."""

from collections.abc import Sequence

from pipeline.config import Recipe
from pipeline.core.errors import ConfigError
from pipeline.core.files import Digests
from pipeline.core.stage import Step
from pipeline.core.store import Store
from pipeline.plan import plan
from pipeline.readiness import require_ready

INSTEAD = {"sweep": "finetune"}
"""A stage that takes another one's place is meant by its name, too."""


def plan_in(store: Store, recipe: Recipe, until: str | None = None) -> list[Step]:
    """Plan a recipe up to and with a stage, and look through what the steps to be made are given.

    Raises: ConfigError if a source names no files, or the plan has no such stage; DataError if a task's file is malformed.
    """
    steps = upto(plan(recipe, Digests(store.root / "digests.jsonl").describe, store.get), until)
    for step in steps:
        if not store.find(step):
            require_ready(step, store)
    return steps


def upto(steps: Sequence[Step], until: str | None) -> list[Step]:
    """Keep the steps up to and with a stage.

    Raises: ConfigError if the plan has no such stage.
    """
    if until is None:
        return list(steps)
    wanted = [at for at, step in enumerate(steps) if until in (step.label, INSTEAD.get(step.label), step.name)]
    if not wanted:
        raise ConfigError(
            f"--until {until}: is not a stage of this plan; it has {', '.join(step.name for step in steps)}"
        )
    return list(steps[: wanted[-1] + 1])
