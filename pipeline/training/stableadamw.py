"""StableAdamW: AdamW that slows down a parameter whose gradients outgrow what their running mean of squares expects.

With rates b of the moments that are unbiased from the start, in each parameter, of learning rate a and weight decay l:

    v <- b1 v + (1 - b1) g        b1 = beta1 (1 - beta1^(t-1)) / (1 - beta1^t)
    u <- b2 u + (1 - b2) g^2      b2 likewise
    r  = sqrt(mean(g^2 / max(u, eps^2)))
    w <- w - a / max(1, r) (l w + v / (sqrt(u) + eps))

Source: Wortsman et al. 2023, Stable and low-precision training for large-scale vision-language models, algorithm 2;
the clipping of Adafactor, Shazeer and Stern 2018, section 6.
"""

import torch
from torch import Tensor

from pipeline.training.layout import Flat
from pipeline.training.perparameter import Group, PerParameter, Step


class StableAdamW(PerParameter):
    """AdamW with update clipping by each parameter's root mean square."""

    def update(self, steps: list[Step]) -> None:
        """Update all that is in `steps`."""
        if not steps:
            return
        ratios = [(flat, self._mean(group, flat, gradient)) for group, flat, gradient in steps]
        rms_P = (self.layout.sums(ratios) / self.layout.sizes_P).sqrt()
        for group, flat, gradient in steps:
            self.subtract([(flat, self._direction(group, flat, gradient))], group["lr"] / rms_P.clamp(min=1))

    def _mean(self, group: Group, flat: Flat, gradient: Tensor) -> Tensor:
        """Bring the moments up to date, and return g^2 / max(u, eps^2)."""
        first, second = self.moments(flat)
        keep1, keep2 = (_unbiased(beta, self.count(flat)) for beta in group["betas"])
        square = gradient.square()
        first.lerp_(gradient, 1 - keep1)
        second.lerp_(square, 1 - keep2)
        return square.div_(second.clamp(min=group["eps"] ** 2))

    def _direction(self, group: Group, flat: Flat, gradient: Tensor) -> Tensor:
        first, second = self.moments(flat)
        torch.sqrt(second, out=gradient).add_(group["eps"])
        torch.div(first, gradient, out=gradient)
        return gradient.add_(flat.tensor.view(-1), alpha=group["weight_decay"])


def _unbiased(beta: float, update: int) -> float:
    return float(beta * (1 - beta ** (update - 1)) / (1 - beta**update))
