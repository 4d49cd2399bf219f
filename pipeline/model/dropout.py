"""Dropout that costs next to nothing on a CPU: its draws are a hash of (seed, place), never kept.

torch draws one number after another from a Mersenne twister: 22 ms for a million elements on one core, a sixth of a
training step of the mini size, where the loop below takes half a millisecond. On a GPU torch's own is fast.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.kernel import kernel

Floats = NDArray[np.float32]
DRAWS = 1 << 32
"""How many values a draw can have: a place is dropped if its draw is below share * DRAWS."""


class Dropout(nn.Module):
    """Drop a share of the activations while training and scale up the rest; may add them to others on the way."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor, onto: Tensor | None = None) -> Tensor:
        """Return `values` with some of them dropped, added to `onto`."""
        if not self.training or not self.share:
            return values if onto is None else onto + values
        if values.device.type == "cpu" and values.dtype == torch.float32 and not torch.compiler.is_compiling():
            dropped: Tensor = _Hashed.apply(values, onto, self.share)  # type: ignore[no-untyped-call]
            return dropped
        dropped = functional.dropout(values, self.share)
        return dropped if onto is None else onto + dropped

    def extra_repr(self) -> str:
        """Name the share where the module is printed."""
        return f"share={self.share}"


class _Hashed(torch.autograd.Function):
    """The gradient draws again what the forward pass drew: a seed is all there is to remember."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, onto: Tensor | None, share: float) -> Tensor:
        ctx.seed, ctx.share, ctx.onto = int(torch.empty((), dtype=torch.int64).random_()), share, onto is not None
        return _drop(values, onto, ctx.seed, share)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        return _drop(gradient, None, ctx.seed, ctx.share), gradient if ctx.onto else None, None


def _drop(values: Tensor, onto: Tensor | None, seed: int, share: float) -> Tensor:
    values = values.detach().contiguous()
    dropped = torch.empty_like(values)
    into = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32), np.uint32(share * DRAWS), np.float32(1 / (1 - share))
    if onto is None:
        _copy_kept(_flat(values), _flat(dropped), *into)
    else:
        _add_kept(_flat(values), _flat(onto.detach().contiguous()), _flat(dropped), *into)
    return dropped


def _flat(tensor: Tensor) -> Floats:
    flat: Floats = tensor.view(-1).numpy()
    return flat


@kernel
def _draw(place: np.uint32, low: np.uint32, high: np.uint32) -> np.uint32:
    """Hash a place: two rounds of multiply and shift, the halves of the seed at either end.

    Source: Wellons 2018, prospecting for hash functions (lowbias32).
    """
    bits = np.uint32(place + low)
    bits ^= bits >> np.uint32(16)
    bits = np.uint32(bits * np.uint32(0x7FEB352D))
    bits ^= (bits >> np.uint32(15)) ^ high
    bits = np.uint32(bits * np.uint32(0x846CA68B))
    return np.uint32(bits ^ (bits >> np.uint32(16)))


@kernel
def _copy_kept(
    values: Floats, into: Floats, low: np.uint32, high: np.uint32, limit: np.uint32, scale: np.float32
) -> None:
    for at in range(len(values)):
        into[at] = values[at] * scale if _draw(np.uint32(at), low, high) >= limit else np.float32(0)


@kernel
def _add_kept(
    values: Floats, onto: Floats, into: Floats, low: np.uint32, high: np.uint32, limit: np.uint32, scale: np.float32
) -> None:
    for at in range(len(values)):
        kept = values[at] * scale if _draw(np.uint32(at), low, high) >= limit else np.float32(0)
        into[at] = onto[at] + kept
