"""The section `sweep` of a task: several trainings of it, of which the best is kept."""

from math import prod
from typing import Annotated

from pydantic import Field

from pipeline.core.section import Section

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class SweepConfig(Section):
    """What to try: every combination of these lists, with every seed. The best by the development set is kept."""

    batch: tuple[Count, ...] = ()
    """Batches to try; that of the task alone unless given. The paper's are 16 and 32 (Devlin et al. 2019, A.3)."""
    learning_rate: tuple[Positive, ...] = ()
    """Learning rates to try; that of the task alone unless given. The paper's are 5e-5, 3e-5 and 2e-5."""
    epochs: tuple[Count, ...] = ()
    """Numbers of epochs to try; that of the task alone unless given. The paper's are 2, 3 and 4."""
    seeds: Count = 1
    """How often each combination is trained: with recipe.seed, and the numbers that follow it."""

    @property
    def trials(self) -> int:
        """Count them."""
        return self.seeds * prod(max(1, len(tried)) for tried in (self.batch, self.learning_rate, self.epochs))
