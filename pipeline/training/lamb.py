"""LAMB: Adam's update, in each parameter brought to the length of the weights. For batches of many thousands.

    m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2
    u  = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps) + l w
    w <- w - a |w| / |u| u        (a u where |w| or |u| is zero, and in biases and norms)

Source: You et al. 2020, Large batch optimization for deep learning: training BERT in 76 minutes, algorithm 2; their
published optimizer leaves the same parameters out of the scaling and of weight decay. DeepSpeed's own, FusedLamb, is CUDA
only and takes what it is given for one parameter, so that under ZeRO it scales whole groups.
"""

import torch
from torch import Tensor

from pipeline.training.layout import Flat
from pipeline.training.perparameter import Group, PerParameter, Step


class Lamb(PerParameter):
    """Layerwise adaptive moments for batch training."""

    def update(self, steps: list[Step]) -> None:
        """Update all that is in `steps`."""
        if not steps:
            return
        updates = [(flat, self._direction(group, flat, gradient)) for group, flat, gradient in steps]
        weight_P = self.layout.sums([(flat, flat.tensor.detach().square()) for flat, _ in updates]).sqrt()
        update_P = self.layout.sums([(flat, update.square()) for flat, update in updates]).sqrt()
        trust_P = torch.where((weight_P > 0) & (update_P > 0), weight_P / update_P, 1.0)
        for (group, flat, _), (_, update) in zip(steps, updates, strict=True):
            scale_P = trust_P if group["scaled"] else torch.ones_like(trust_P)
            self.subtract([(flat, update)], group["lr"] * scale_P)

    def _direction(self, group: Group, flat: Flat, gradient: Tensor) -> Tensor:
        first, second = self.moments(flat)
        (beta1, beta2), update = group["betas"], self.count(flat)
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        torch.div(second, 1 - beta2**update, out=gradient).sqrt_().add_(group["eps"])
        torch.div(first, gradient, out=gradient).div_(1 - beta1**update)
        return gradient.add_(flat.tensor.view(-1), alpha=group["weight_decay"])
