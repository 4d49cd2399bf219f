"""Muon: in the weight matrices of the layers, the momentum's nearest orthogonal matrix; AdamW in all the rest.

    m <- beta m + (1 - beta) g
    w <- w - a (l w + sqrt(max(1, rows / columns)) O(beta m + (1 - beta) g))

O is five steps of a Newton-Schulz iteration, which brings all singular values near one. A matrix that ZeRO has cut is
put together, and one of the ranks works on it. Queries, keys and values, one matrix here, count as three.
DeepSpeed's own Muon is not used: it takes the clipped norm after O, so that clipping means another thing than at
stage 0, and its state cannot be moved to other numbers of ranks.
Source: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks (kellerjordan.github.io/posts/muon).
"""

import math
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim.adamw import adamw

from pipeline.training.layout import Flat, Values
from pipeline.training.perparameter import Group, PerParameter, Step

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration; chosen there for the steepest rise from zero."""
ITERATIONS = 5


def turns(name: str, shape: Sequence[int]) -> bool:
    """Tell whether a parameter is a weight matrix of a layer."""
    return ".layers." in name and len(shape) == 2


class Muon(PerParameter):
    """Momentum, orthogonalised; groups with `momentum` are matrices, the others are left to AdamW."""

    def update(self, steps: list[Step]) -> None:
        """Update all that is in `steps`."""
        self._turn([step for step in steps if "momentum" in step[0]])
        for group, flat, gradient in steps:
            if "momentum" not in group:
                self._adamw(group, flat, gradient)

    def _adamw(self, group: Group, flat: Flat, gradient: Tensor) -> None:
        first, second = self.moments(flat)
        adamw(
            [flat.tensor.detach().view(-1)],
            [gradient],
            [first],
            [second],
            [],
            [self.state[flat.tensor]["step"] - 1],  # it counts for itself
            fused=gradient.device.type == "cpu",  # elsewhere the count would have to lie on the device
            amsgrad=False,
            maximize=False,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
        )

    def _turn(self, steps: list[Step]) -> None:
        updates = [(flat, self._momentum(group, flat, gradient)) for group, flat, gradient in steps]
        split = [number for flat, _ in updates for number in self.layout.split(flat)]
        for flat, update in updates:
            for piece, part in flat.cut(update):
                if piece.parameter not in split:
                    part.copy_(self._orthogonal(piece.parameter, part).view(-1))
        for batch in self.layout.batches(split):
            self._turn_split(batch, updates)
        for (group, flat, _), (_, update) in zip(steps, updates, strict=True):
            flat.tensor.view(-1).mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=group["lr"])

    def _momentum(self, group: Group, flat: Flat, gradient: Tensor) -> Tensor:
        momentum: Tensor = self.state[flat.tensor]["momentum_buffer"].view(-1)
        momentum.lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp_(momentum, group["momentum"])

    def _turn_split(self, numbers: list[int], updates: Values) -> None:
        """Put matrices together, have each turned by one rank, and take back what is here of them."""
        rank, ranks = dist.get_rank(), dist.get_world_size()
        fulls = self.layout.exchange(numbers, updates)
        for at, (number, full) in enumerate(zip(numbers, fulls, strict=True)):
            if at % ranks == rank:
                full.copy_(self._orthogonal(number, full))
            else:
                full.zero_()
            dist.all_reduce(full)
        whole = dict(zip(numbers, fulls, strict=True))
        for flat, update in updates:
            for piece, part in flat.cut(update):
                if piece.parameter in whole:
                    part.copy_(whole[piece.parameter].view(-1)[piece.begin : piece.begin + piece.length])

    def _orthogonal(self, number: int, update: Tensor) -> Tensor:
        shape, parts = self.layout.shapes[number], 3 if "qkv" in self.layout.names[number] else 1
        matrices = update.view(parts, shape[0] // parts, shape[1])
        return orthogonal(matrices).mul_(math.sqrt(max(1.0, matrices.shape[1] / shape[1]))).view(shape)


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring the singular values of each [rows, columns] matrix of a batch to between 0.7 and 1.2.

    In bf16 on GPUs, as published; in float32 on CPUs, most of which only emulate bf16.
    """
    a, b, c = COEFFICIENTS
    turned = matrices.shape[-2] > matrices.shape[-1]
    dtype = torch.float32 if matrices.device.type == "cpu" else torch.bfloat16
    x = (matrices.mT if turned else matrices).to(dtype, copy=True)
    x /= x.norm(dim=(-2, -1), keepdim=True) + 1e-7
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if turned else x).to(matrices.dtype).contiguous()
