"""The parts of a model, from its head down, when fine-tuning lets some learn slower or later than others.

The head is part 0, then come the layers from the last to the first, then the embeddings.
Source: Howard and Ruder 2018 (ULMFiT), sections 3.2 and 3.3: discriminative learning rates, gradual unfreezing.
"""

import re
from dataclasses import dataclass

from pipeline.training.order import Tuning

LAYER = re.compile(r"encoder\.layers\.(\d+)\.")
NEVER = 1 << 62
"""Updates."""


@dataclass(frozen=True)
class Parts:
    """What each part's share of the learning rate is, and before which update, counted from 0, it is left alone."""

    shares: tuple[float, ...]
    begins: tuple[int, ...]

    def depth(self, name: str) -> int:
        """Tell which part a parameter belongs to; a norm behind the last layer to that layer."""
        if match := LAYER.match(name):
            return len(self.shares) - 2 - int(match[1])
        if name.startswith("encoder."):
            return len(self.shares) - 1 if name.startswith("encoder.embeddings.") else 1
        return 0

    def frozen(self, made: int) -> int:
        """Count the parts that wait after so many updates, from the embeddings up."""
        return sum(begin > made for begin in self.begins)


def parts_of(tuning: Tuning, layers: int, units: int) -> Parts | None:
    """Give the parts of a model with so many layers, tuned on so many rows or questions; None if all learn alike."""
    if tuning.trained == "all" and tuning.layer_decay == 1.0:
        return None
    count = layers + 2
    shares = tuple(tuning.layer_decay**depth for depth in range(count))
    return Parts(shares, tuple(_begin(tuning, depth, count, units) for depth in range(count)))


def _begin(tuning: Tuning, depth: int, count: int, units: int) -> int:
    """Say how many updates come before a part learns.

    The head is alone in the first epoch; then one part more learns in each, or several where epochs are fewer.
    """
    if depth == 0 or tuning.trained == "all":
        return 0
    if tuning.trained == "head":
        return NEVER
    epoch = depth if tuning.epochs >= count else 1 + (depth - 1) * (tuning.epochs - 1) // (count - 1)
    return epoch * units // tuning.batch
