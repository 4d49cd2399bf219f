import pytest
import torch
from torch import Tensor

from pipeline.model.dropout import Dropout

MANY = 400_000


def _mask(seed: int, share: float = 0.1, numbers: int = MANY) -> Tensor:
    torch.manual_seed(seed)
    kept: Tensor = Dropout(share)(torch.ones(numbers)) != 0
    return kept


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_is_dropped_and_the_rest_scaled_up(share: float) -> None:
    torch.manual_seed(1)
    dropped = Dropout(share)(torch.ones(MANY))
    assert (dropped == 0).float().mean().item() == pytest.approx(share, abs=0.004)
    assert dropped.max().item() == pytest.approx(1 / (1 - share))
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)


def test_draws_follow_from_the_seed_and_differ_from_call_to_call() -> None:
    assert torch.equal(_mask(3), _mask(3))
    torch.manual_seed(3)
    module, ones = Dropout(0.1), torch.ones(MANY)
    first, second = module(ones) == 0, module(ones) == 0
    assert (first & second).float().mean().item() == pytest.approx(0.01, abs=0.001)  # as of independent draws


@pytest.mark.parametrize("distance", [1, 2, 16, 256, 65_536])
def test_places_are_dropped_independently_of_each_other(distance: int) -> None:
    dropped = ~_mask(5)
    assert (dropped[distance:] & dropped[:-distance]).float().mean().item() == pytest.approx(0.01, abs=0.001)


def test_the_gradient_passes_where_values_did() -> None:
    values, onto = torch.randn(3, 50, requires_grad=True), torch.randn(3, 50, requires_grad=True)
    torch.manual_seed(2)
    result = Dropout(0.4)(values, onto)
    passed = (result - onto).detach() / values.detach()
    upstream = torch.randn(3, 50)
    result.backward(upstream)
    assert values.grad is not None
    assert onto.grad is not None
    torch.testing.assert_close(values.grad, upstream * passed, atol=1e-5, rtol=1e-4)
    assert torch.equal(onto.grad, upstream)
    assert 0 < (passed.abs() < 1e-3).sum() < 150


def test_values_in_any_order_of_memory_are_dropped_alike() -> None:
    values = torch.randn(40, 30)
    torch.manual_seed(4)
    expected = Dropout(0.5)(values)
    torch.manual_seed(4)
    assert torch.equal(Dropout(0.5)(values.T.contiguous().T), expected)


@pytest.mark.parametrize("module", [Dropout(0.0), Dropout(0.5).eval()])
def test_nothing_is_dropped_without_a_share_or_outside_of_training(module: Dropout) -> None:
    values, onto = torch.randn(4), torch.randn(4)
    assert torch.equal(module(values), values)
    assert torch.equal(module(values, onto), onto + values)


def test_half_precision_is_dropped_by_torch() -> None:
    torch.manual_seed(1)
    dropped = Dropout(0.5)(torch.ones(1000, dtype=torch.bfloat16), torch.ones(1000, dtype=torch.bfloat16))
    assert set(dropped.tolist()) == {1.0, 3.0}
