import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.model.crossentropy import linear_cross_entropy

ROW_BYTES = 4 * 300
"""Of one row of logits."""


def _parts(kind: torch.dtype = torch.float32, rows: int = 41) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    hidden_MD, weight_VD, bias_V = (
        torch.randn(*size, generator=generator).to(kind).requires_grad_() for size in ((rows, 24), (300, 24), (300,))
    )
    return hidden_MD, weight_VD, bias_V, torch.randint(0, 300, (rows,), generator=generator)


def _plain(hidden_MD: Tensor, weight_VD: Tensor, bias_V: Tensor, labels_M: Tensor) -> tuple[Tensor, Tensor]:
    logits_MV = functional.linear(hidden_MD, weight_VD, bias_V).float()
    return functional.cross_entropy(logits_MV, labels_M, reduction="sum"), (logits_MV.argmax(-1) == labels_M).sum()


@pytest.mark.parametrize("rows", [1, 7, 41, 1000])
def test_slices_give_the_loss_hits_and_gradients_of_all_logits_at_once(rows: int) -> None:
    parts, expected_parts = _parts(), _parts()
    for part in (parts, expected_parts):
        with torch.no_grad():
            part[3][::3] = functional.linear(*part[:3]).argmax(-1)[::3]
    loss_sum, correct = linear_cross_entropy(*parts, slice_bytes=rows * ROW_BYTES)
    expected, hits = _plain(*expected_parts)
    assert correct.item() == hits.item() >= 14
    assert loss_sum.item() == pytest.approx(expected.item(), rel=1e-6)
    (loss_sum / 3).backward()
    (expected / 3).backward()
    for ours, theirs in zip(parts[:3], expected_parts[:3], strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=2e-6, rtol=1e-5)


def test_a_hopeless_label_has_a_finite_loss() -> None:
    hidden_MD, weight_VD, bias_V, labels_M = _parts(rows=1)
    with torch.no_grad():
        bias_V[labels_M] = -500.0
    loss_sum, _ = linear_cross_entropy(hidden_MD, weight_VD, bias_V, labels_M)
    assert loss_sum.item() > 400
    assert loss_sum.item() == pytest.approx(_plain(hidden_MD, weight_VD, bias_V, labels_M)[0].item(), rel=1e-6)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_adds_up_in_single(kind: torch.dtype) -> None:
    parts = _parts(kind, rows=64)
    loss_sum, _ = linear_cross_entropy(*parts, slice_bytes=ROW_BYTES)
    assert loss_sum.dtype == torch.float32
    loss_sum.backward()
    exact = [part.detach().double().requires_grad_() for part in parts[:3]]
    functional.cross_entropy(functional.linear(*exact), parts[3], reduction="sum").backward()
    for ours, theirs in zip(parts[:3], exact, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert ours.grad.dtype == kind
        assert (ours.grad.double() - theirs.grad).norm() < 0.02 * theirs.grad.norm()


def test_no_predictions_cost_nothing() -> None:
    parts = _parts(rows=0)
    loss_sum, correct = linear_cross_entropy(*parts)
    assert (loss_sum.item(), correct.item()) == (0.0, 0)
    loss_sum.backward()
    assert parts[1].grad is not None
    assert not parts[1].grad.any()


def test_a_gradient_is_there_once() -> None:
    loss_sum, _ = linear_cross_entropy(*_parts())
    loss_sum.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="taken already"):
        loss_sum.backward()


def test_without_gradients_none_are_made() -> None:
    parts = _parts()
    with torch.no_grad():
        loss_sum, correct = linear_cross_entropy(*parts)
    assert loss_sum.item() == pytest.approx(_plain(*parts)[0].item(), rel=1e-6)
    assert correct.item() == _plain(*parts)[1].item()
