"""Learners with weights that no name may lose, and rows with padding, of any architecture."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.model.attention import Packed
from pipeline.model.encoder import initialize
from pipeline.model.heads import Headed, Learner
from pipeline.model.shape import SIZES, Shape
from pipeline.objectives import OBJECTIVES

TINY = Shape(*SIZES["tiny"], vocab_size=1000, max_positions=64, dropout=0.0)
MODERN = replace(TINY, architecture="modern")
ODD = Shape(3, 60, 5, vocab_size=301, max_positions=40, intermediate_size=77, type_vocab_size=3, dropout=0.0)
BOTH = {"bert": TINY, "modern": MODERN}
PRETRAINING = {"bert": ("mlm", "nsp"), "modern": ("mlm",)}


@dataclass(frozen=True)
class Rows:
    """A micro-batch as the loader makes it."""

    ids_BT: Tensor
    segments_BT: Tensor
    attended_BT: Tensor | None
    predicted_M: Tensor
    labels_M: Tensor
    label_B: Tensor
    packed: Packed | None = None


def learner_of(shape: Shape, objectives: Iterable[str] = (), *, recompute: bool = False) -> Learner:
    """Make a learner for pretraining in which all weights, biases and norms too, differ."""
    return unlike(Learner(shape, {name: OBJECTIVES[name] for name in objectives}, recompute), shape)


def learner_with(shape: Shape, objectives: dict[str, Headed]) -> Learner:
    """Make a learner with other heads."""
    return unlike(Learner(shape, objectives), shape)


@torch.no_grad()
def unlike(learner: Learner, shape: Shape) -> Learner:
    """Draw weights so that no bias or norm can be forgotten without being noticed."""
    initialize(learner, shape, seed=3)
    for parameter in learner.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())) / 20)
    return learner.eval()


def state_of(learner: Learner) -> dict[str, Tensor]:
    """Return the weights by name."""
    return {name: tensor.detach() for name, tensor in learner.named_parameters()}


def padded_rows(shape: Shape) -> Rows:
    """Make four rows, three with padding, that predict seven tokens; one row is of one segment alone."""
    generator = torch.Generator().manual_seed(5)
    rows, tokens = 4, shape.max_positions
    ids_BT = torch.randint(5, shape.vocab_size, (rows, tokens), generator=generator)
    attended_BT = torch.arange(tokens) < torch.tensor([tokens, tokens - 7, 9, 3])[:, None]
    segments_BT = (torch.arange(tokens) >= torch.tensor([4, tokens // 2, 5, 2])[:, None]).long() * attended_BT
    predicted_M = torch.tensor([2, 3, tokens - 1, tokens + 4, 2 * tokens + 8, 3 * tokens + 1, 3 * tokens + 2])
    labels_M = torch.randint(5, shape.vocab_size, (len(predicted_M),), generator=generator)
    label_B = torch.tensor([0, 1, -100, 1])
    return Rows(ids_BT * attended_BT, segments_BT, attended_BT, predicted_M, labels_M, label_B)


def packed_rows(padded: Rows) -> Rows:
    """Lay the same rows one behind another."""
    assert padded.attended_BT is not None
    lengths_B = padded.attended_BT.sum(1)
    starts_B = torch.nn.functional.pad(lengths_B.cumsum(0), (1, 0))
    row_M, column_M = padded.predicted_M // padded.ids_BT.shape[1], padded.predicted_M % padded.ids_BT.shape[1]
    return Rows(
        padded.ids_BT[padded.attended_BT][None],
        padded.segments_BT[padded.attended_BT][None],
        None,
        starts_B[row_M] + column_M,
        padded.labels_M,
        padded.label_B,
        Packed(starts_B.int(), int(lengths_B.max())),
    )
