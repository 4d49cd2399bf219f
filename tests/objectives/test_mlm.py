from dataclasses import dataclass

import pytest
import torch

from pipeline.model.heads import Hidden, MaskedLanguageHead
from pipeline.model.shape import Shape
from pipeline.objectives import OBJECTIVES

VOCAB = 50


@dataclass(frozen=True)
class Batch:
    predicted_M: torch.Tensor
    labels_M: torch.Tensor
    label_B: torch.Tensor


def test_the_loss_is_the_sum_over_predicted_positions() -> None:
    torch.manual_seed(1)
    head = OBJECTIVES["mlm"].head(Shape(layers=1, width=8, heads=2, vocab_size=VOCAB, max_positions=16))
    assert isinstance(head, MaskedLanguageHead)
    predicted_MD, embedding_VD = torch.randn(2, 8), torch.randn(VOCAB, 8)
    batch = Batch(torch.tensor([1, 6]), torch.tensor([9, 30]), torch.tensor([0, 1]))
    terms = OBJECTIVES["mlm"].loss(head, Hidden(torch.randn(2, 1, 8), predicted_MD), embedding_VD, batch)
    logits = head(predicted_MD, embedding_VD)
    chances = logits.log_softmax(-1)
    assert terms.loss_sum.item() == pytest.approx(-(chances[0, 9] + chances[1, 30]).item(), rel=1e-5)
    assert terms.loss_sum.dtype == torch.float32
    assert terms.count.item() == 2
    assert terms.correct.item() == sum(logits[at].argmax().item() == label for at, label in enumerate([9, 30]))


def test_the_loss_of_half_precision_states_is_single_precision() -> None:
    shape = Shape(layers=1, width=8, heads=2, vocab_size=VOCAB, max_positions=16)
    head = OBJECTIVES["mlm"].head(shape).bfloat16()
    batch = Batch(torch.tensor([1]), torch.tensor([9]), torch.tensor([0]))
    hidden = Hidden(torch.randn(1, 1, 8).bfloat16(), torch.randn(1, 8).bfloat16())
    terms = OBJECTIVES["mlm"].loss(head, hidden, torch.randn(VOCAB, 8).bfloat16(), batch)
    assert terms.loss_sum.dtype == torch.float32
