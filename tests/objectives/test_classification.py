from dataclasses import dataclass

import pytest
import torch

from pipeline.model.heads import Hidden, PairHead
from pipeline.model.shape import Shape
from pipeline.objectives import OBJECTIVES

PAIRED = pytest.mark.parametrize("name", ["nsp", "sop"])


@dataclass(frozen=True)
class Batch:
    predicted_M: torch.Tensor
    labels_M: torch.Tensor
    label_B: torch.Tensor


def batch(*labels: int) -> Batch:
    return Batch(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), torch.tensor(labels))


@PAIRED
def test_the_loss_is_the_sum_over_rows_that_hold_a_pair(name: str) -> None:
    torch.manual_seed(1)
    head = OBJECTIVES[name].head(Shape(layers=1, width=8, heads=2, vocab_size=50, max_positions=16))
    assert isinstance(head, PairHead)
    hidden_BTD = torch.randn(3, 1, 8)
    terms = OBJECTIVES[name].loss(head, Hidden(hidden_BTD, torch.randn(0, 8)), torch.randn(50, 8), batch(1, -100, 0))
    chances = head(hidden_BTD).log_softmax(-1)
    assert terms.loss_sum.item() == pytest.approx(-(chances[0, 1] + chances[2, 0]).item(), rel=1e-5)
    assert terms.count.item() == 2
    guesses = head(hidden_BTD).argmax(-1)
    assert terms.correct.item() == int(guesses[0] == 1) + int(guesses[2] == 0)


@PAIRED
def test_rows_of_one_segment_alone_give_no_loss(name: str) -> None:
    head = OBJECTIVES[name].head(Shape(layers=1, width=8, heads=2, vocab_size=50, max_positions=16))
    terms = OBJECTIVES[name].loss(
        head, Hidden(torch.randn(2, 1, 8), torch.randn(0, 8)), torch.randn(50, 8), batch(-100, -100)
    )
    assert (terms.loss_sum.item(), terms.count.item(), terms.correct.item()) == (0, 0, 0)
    terms.loss_sum.backward()  # type: ignore[no-untyped-call]
