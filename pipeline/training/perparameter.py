"""What optimizers have in common that treat each parameter as a whole, wherever its pieces lie.

Under ZeRO an optimizer is given flat tensors that know nothing of parameters. These find them by a `Layout`, and sum
over ranks what they must know of the whole: the update is the same for any number of ranks and any stage.
Letter: P parameters.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pipeline.training.layout import Flat, Layout, Values

Group = dict[str, Any]
Step = tuple[Group, Flat, Tensor]
"""A group's settings, what is updated, and its gradient."""


class PerParameter(torch.optim.Optimizer):
    """An optimizer over flat tensors; its state is made by the engine, which also gives it the `layout`."""

    layout: Layout

    def __init__(self, groups: list[Group]) -> None:
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update what has a gradient, of the groups that are there now: ZeRO shows them one at a time."""
        steps = [
            (group, self.layout.flat(tensor), tensor.grad.view(-1))
            for group in self.param_groups
            for tensor in group["params"]
            if tensor.grad is not None
        ]
        for _, flat, _ in steps:
            self.state[flat.tensor]["step"] += 1
        self.update(steps)

    @abstractmethod
    def update(self, steps: list[Step]) -> None:
        """Update all that is in `steps`; `state` counts this update already."""

    def count(self, flat: Flat) -> int:
        """Return the number of this update, from 1."""
        return int(self.state[flat.tensor]["step"])

    def moments(self, flat: Flat) -> tuple[Tensor, Tensor]:
        """Return the running means of the gradient and of its square."""
        state = self.state[flat.tensor]
        return state["exp_avg"].view(-1), state["exp_avg_sq"].view(-1)

    def subtract(self, updates: Values, rate_P: Tensor) -> None:
        """Take the updates, each parameter's times its own rate, from the weights; `updates` are spoilt."""
        for flat, update in updates:
            for piece, part in flat.cut(update):
                part.mul_(rate_P[piece.parameter].to(part.device, part.dtype))
            flat.tensor.view(-1).sub_(update)
