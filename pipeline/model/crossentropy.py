"""Cross-entropy over a vocabulary: logits exist for a few rows at a time, and their gradient takes their place.

The gradient of softmax and cross-entropy needs nothing that the forward pass does not have at hand, so it is made there:
what is kept for the backward pass is as large as the parameters, whatever the number of predictions.
Letters: M predicted positions, D width, V vocabulary, R rows of a slice, C rows in the cache.
"""

from typing import Any

import torch
from torch import Tensor

SLICE_BYTES = {"cpu": 64 << 20, "cuda": 512 << 20}
"""Of float32 logits at a time; each slice reads and writes the gradient of the whole vocabulary."""
CACHE_BYTES = 1 << 20
"""Of logits that a CPU core's own cache holds: four passes over them cost little more than one."""
HALF_SCALE = 16.0
"""What errors are multiplied by in fp16, whose normal numbers end at 6e-5: in a large vocabulary most shares are less.
More would let the sum over a thousand rows with one label overflow."""


def linear_cross_entropy(
    hidden_MD: Tensor, weight_VD: Tensor, bias_V: Tensor, labels_M: Tensor, *, slice_bytes: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the summed cross-entropy of `hidden @ weight.T + bias`, and how often the label scores highest.

    Both are float32 and int64 numbers, whatever the precision of the states. One backward pass is all there can be.
    """
    gradients = torch.is_grad_enabled()
    slice_bytes = slice_bytes or SLICE_BYTES[hidden_MD.device.type]
    rows = max(1, slice_bytes // (4 * len(weight_VD)))
    loss_sum, correct = _Sliced.apply(hidden_MD, weight_VD, bias_V, labels_M, rows, gradients)  # type: ignore[no-untyped-call]
    return loss_sum, correct


class _Sliced(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_MD: Tensor, weight_VD: Tensor, bias_V: Tensor, labels_M: Tensor, rows: int, gradients: bool
    ) -> tuple[Tensor, Tensor]:
        sums = _Sums(hidden_MD, weight_VD, bias_V, gradients)
        for begin in range(0, len(hidden_MD), rows):
            sums.add(slice(begin, begin + rows), labels_M[begin : begin + rows])
        ctx.gradients, ctx.scale = sums.gradients(), sums.scale
        ctx.mark_non_differentiable(sums.correct)
        return sums.loss, sums.correct

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("linear_cross_entropy has no gradient: made without one, or taken already")
        for_hidden_MD, for_weight_VD, for_bias_V = gradients
        factor = (upstream[0] / ctx.scale).to(for_hidden_MD.dtype)
        return (
            for_hidden_MD.mul_(factor),
            for_weight_VD.mul_(factor),
            (for_bias_V * upstream[0]).to(factor.dtype),
            None,
            None,
            None,
        )


class _Sums:
    """Loss, hits and gradients, slice by slice."""

    def __init__(self, hidden_MD: Tensor, weight_VD: Tensor, bias_V: Tensor, gradients: bool) -> None:
        self._hidden_MD, self._weight_VD, self._bias_V = hidden_MD, weight_VD, bias_V
        self.loss = hidden_MD.new_zeros((), dtype=torch.float32)
        self.correct = hidden_MD.new_zeros((), dtype=torch.int64)
        self.scale = HALF_SCALE if hidden_MD.dtype == torch.float16 else 1.0  # of both gradients but the bias'
        self._for_hidden_MD = torch.empty_like(hidden_MD) if gradients else None
        self._for_weight_VD: Tensor | None = None
        self._for_bias_V = bias_V.new_zeros(bias_V.shape, dtype=torch.float32)

    def add(self, at: slice, labels_R: Tensor) -> None:
        """Take one slice of rows into account."""
        hidden_RD = self._hidden_MD[at]
        logits_RV = (hidden_RD @ self._weight_VD.T).float()
        for block in _blocks(logits_RV):
            self._score(logits_RV[block], labels_R[block])
        if self._for_hidden_MD is not None:
            error_RV = logits_RV if self.scale == 1 else logits_RV.mul_(self.scale)
            error_RV = error_RV.to(hidden_RD.dtype)
            torch.mm(error_RV, self._weight_VD, out=self._for_hidden_MD[at])
            self._add_to_weight(error_RV.T, hidden_RD)

    def gradients(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Give the gradients for hidden_MD, weight_VD and bias_V."""
        if self._for_hidden_MD is None:
            return None
        for_weight_VD = torch.zeros_like(self._weight_VD) if self._for_weight_VD is None else self._for_weight_VD
        kind = self._weight_VD.dtype
        return self._for_hidden_MD, for_weight_VD.to(kind), self._for_bias_V

    def _score(self, logits_CV: Tensor, labels_C: Tensor) -> None:
        """Put the error (softmax less the label) in the place of logits."""
        label_C1 = labels_C[:, None]
        logits_CV += self._bias_V
        highest_C = logits_CV.amax(-1)
        label_logit_C = logits_CV.gather(1, label_C1)[:, 0]
        self.correct += (label_logit_C >= highest_C).sum()
        torch.softmax(logits_CV, -1, out=logits_CV)
        # log-sum-exp, from where the softmax is largest and its logarithm exact
        self.loss += (highest_C - logits_CV.amax(-1).log() - label_logit_C).sum()
        if self._for_hidden_MD is not None:
            logits_CV.scatter_add_(1, label_C1, logits_CV.new_full((1, 1), -1.0).expand_as(label_C1))
            self._for_bias_V += logits_CV.sum(0)

    def _add_to_weight(self, error_VR: Tensor, hidden_RD: Tensor) -> None:
        """Add up in float32: half precision would lose the later slices."""
        if self._for_weight_VD is None:
            self._for_weight_VD = (error_VR @ hidden_RD).float()
        elif hidden_RD.dtype == torch.float32:
            self._for_weight_VD.addmm_(error_VR, hidden_RD)
        else:
            self._for_weight_VD += error_VR @ hidden_RD


def _blocks(logits_RV: Tensor) -> list[slice]:
    rows = len(logits_RV) if logits_RV.is_cuda else max(1, CACHE_BYTES // (4 * logits_RV.shape[1]))
    return [slice(begin, begin + rows) for begin in range(0, len(logits_RV), rows or 1)]
