"""Each optimizer against another's implementation, or its paper's formula; and one result however parameters are cut."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.training.lamb import Lamb
from pipeline.training.layout import Flat, Layout, Piece
from pipeline.training.muon import Muon, orthogonal
from pipeline.training.optimizers import ADAM, make
from pipeline.training.order import Optimizer, Order
from pipeline.training.perparameter import PerParameter
from pipeline.training.ranks import Ranks
from pipeline.training.stableadamw import StableAdamW
from tests.training.conftest import Launch, Undisturbed, curve, digests, moved, without_dropout
from tests.training.one_rank import allow_any_choice

ALONE = Ranks(0, 1, torch.device("cpu"))
ADAM_GROUP: dict[str, Any] = {
    "lr": 0.02,
    "betas": (0.9, 0.99),
    "eps": 1e-8,
    "weight_decay": 0.1,
    "moments": ADAM,
    "factor": 1.0,
    "scaled": True,
}


def _prepared(kind: type[PerParameter], parameters: dict[str, Tensor], **group: Any) -> PerParameter:
    """An optimizer of one group over whole parameters, as at ZeRO stage 0."""
    optimizer = kind([{"params": list(parameters.values()), **group}])
    flats = [Flat(one, 0, (Piece(at, 0, 0, one.numel()),)) for at, one in enumerate(parameters.values())]
    optimizer.layout = Layout({name: one.shape for name, one in parameters.items()}, flats, ALONE, spread=False)
    for one in parameters.values():
        moments = {name: torch.zeros_like(one, requires_grad=False) for name in group["moments"]}
        optimizer.state[one] = {"step": torch.tensor(0.0), **moments}
    return optimizer


def _fresh(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(3)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def _take_steps(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], gradients: list[list[Tensor]]
) -> None:
    for ones in gradients:
        for parameter, gradient in zip(parameters, ones, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()


def _gradients(parameters: list[nn.Parameter], steps: int) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(4)
    return [[torch.randn(one.shape, generator=generator) * 3**step for one in parameters] for step in range(steps)]


def test_stableadamw_is_adamw_while_no_gradient_outgrows_the_mean() -> None:
    ours, theirs = _fresh((5, 4)), _fresh((5, 4))
    steady = _gradients(ours, 1) * 6
    _take_steps(_prepared(StableAdamW, {"one": ours[0]}, **ADAM_GROUP), ours, steady)
    _take_steps(torch.optim.AdamW(theirs, lr=0.02, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1), theirs, steady)
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-6)


def test_stableadamw_follows_the_published_algorithm() -> None:
    ours = _fresh((5, 4), (7,))
    expected = [one.detach().double().numpy().copy() for one in ours]
    gradients = _gradients(ours, 6)  # each three times the one before: clipped from the second step on
    _take_steps(_prepared(StableAdamW, {"one": ours[0], "two": ours[1]}, **ADAM_GROUP), ours, gradients)
    for at, weights in enumerate(expected):
        _published_stableadamw(weights, [step[at].double().numpy() for step in gradients])
        np.testing.assert_allclose(ours[at].detach().numpy(), weights, rtol=1e-5, atol=1e-6)


def _published_stableadamw(weights: NDArray[np.float64], gradients: list[NDArray[np.float64]]) -> None:
    """Wortsman et al. 2023, algorithm 2, line by line."""
    rate, (beta1, beta2), eps, decay = 0.02, (0.9, 0.99), 1e-8, 0.1
    v, u = np.zeros_like(weights), np.zeros_like(weights)
    clipped = 0
    for t, g in enumerate(gradients, 1):
        b1, b2 = ((beta * (1 - beta ** (t - 1))) / (1 - beta**t) for beta in (beta1, beta2))
        v[:] = b1 * v + (1 - b1) * g
        u[:] = b2 * u + (1 - b2) * g**2
        rms = np.sqrt(np.mean(g**2 / np.maximum(u, eps**2)))
        eta = rate / max(1.0, rms)
        clipped += rms > 1.1
        weights -= eta * decay * weights + eta * v / (np.sqrt(u) + eps)
    assert clipped


def test_lamb_goes_adams_way_as_far_as_the_weights_are_long() -> None:
    group = {**ADAM_GROUP, "weight_decay": 0.0}
    ours, theirs = _fresh((5, 4), (6, 2)), _fresh((5, 4), (6, 2))
    before, gradients = [one.detach().clone() for one in ours], _gradients(ours, 1)
    _take_steps(_prepared(Lamb, {"one": ours[0], "two": ours[1]}, **group), ours, gradients)
    _take_steps(torch.optim.Adam(theirs, lr=0.02, betas=(0.9, 0.99), eps=1e-8), theirs, gradients)
    for one, other, start in zip(ours, theirs, before, strict=True):
        way, adams = (one - start).detach(), (other - start).detach()
        assert way.norm().item() == pytest.approx(0.02 * start.norm().item(), rel=1e-5)
        torch.testing.assert_close(way / way.norm(), adams / adams.norm())


def test_lamb_does_not_scale_biases_nor_divides_by_nothing() -> None:
    ours, theirs = _fresh((6,)), _fresh((6,))
    gradients = _gradients(ours, 4)
    unscaled = {**ADAM_GROUP, "weight_decay": 0.0, "scaled": False}
    _take_steps(_prepared(Lamb, {"bias": ours[0]}, **unscaled), ours, gradients)
    _take_steps(torch.optim.Adam(theirs, lr=0.02, betas=(0.9, 0.99), eps=1e-8), theirs, gradients)
    torch.testing.assert_close(ours[0], theirs[0])
    zero = [nn.Parameter(torch.zeros(3, 2))]
    _take_steps(_prepared(Lamb, {"zero": zero[0]}, **ADAM_GROUP), zero, [[torch.ones(3, 2)], [torch.zeros(3, 2)]])
    assert zero[0].isfinite().all()


def test_muon_leaves_the_rest_to_adamw() -> None:
    ours, theirs = _fresh((5, 4)), _fresh((5, 4))
    gradients = _gradients(ours, 5)
    _take_steps(_prepared(Muon, {"one": ours[0]}, **ADAM_GROUP), ours, gradients)
    _take_steps(torch.optim.AdamW(theirs, lr=0.02, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1), theirs, gradients)
    torch.testing.assert_close(ours[0], theirs[0])


@pytest.mark.parametrize("shape", [(8, 8), (24, 6), (5, 16)])
def test_muon_is_that_of_torch(shape: tuple[int, int]) -> None:
    """Theirs iterates in bf16, which is good for two digits."""
    ours, theirs = _fresh(shape), _fresh(shape)
    gradients = _gradients(ours, 4)
    group: dict[str, Any] = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.95, "moments": ("momentum_buffer",)}
    _take_steps(_prepared(Muon, {"one": ours[0]}, **group), ours, gradients)
    _take_steps(torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, momentum=0.95), theirs, gradients)
    torch.testing.assert_close(ours[0], theirs[0], rtol=0.02, atol=0.004)


def test_muon_brings_all_singular_values_near_one() -> None:
    matrices = torch.randn(3, 12, 30, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.6
    assert values.max() < 1.3
    torch.testing.assert_close(orthogonal(matrices.mT), orthogonal(matrices).mT)


def test_muon_turns_queries_keys_and_values_apart() -> None:
    settings: dict[str, Any] = {"lr": 1.0, "weight_decay": 0.0, "momentum": 0.0, "moments": ("momentum_buffer",)}
    ours, gradients = _fresh((12, 4)), _gradients(_fresh((12, 4)), 1)
    before = ours[0].detach().clone()
    _take_steps(_prepared(Muon, {"encoder.layers.0.attention.qkv.weight": ours[0]}, **settings), ours, gradients)
    parts = torch.cat([orthogonal(part[None])[0] for part in gradients[0][0].chunk(3)])
    torch.testing.assert_close(before - ours[0], parts)


def test_only_weight_matrices_of_layers_are_turned() -> None:
    module = nn.ModuleDict({"encoder": nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(4, 4)])})})
    module["embeddings"] = nn.Embedding(9, 4)
    groups = make(module, Optimizer(learning_rate=0.01, name="muon", matrix_learning_rate=0.05)).param_groups
    assert [[tuple(one.shape) for one in group["params"]] for group in groups] == [[(4, 4)], [(9, 4)], [(4,)]]
    assert [(group["factor"], group["weight_decay"]) for group in groups] == [(5.0, 0.01), (1.0, 0.01), (1.0, 0.0)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stableadamw", "muon", "lamb"])
def test_the_curve_hangs_neither_on_the_stage_nor_on_ranks(
    name: Any, order: Order, launch: Launch, tmp_path: Path
) -> None:
    order = replace(without_dropout(order), optimizer=Optimizer(learning_rate=5e-3, name=name))

    def run(ranks: int, stage: int, offload: str = "none") -> list[float]:
        one = moved(order, tmp_path / f"{ranks}-{stage}", zero_stage=stage, offload=offload)
        assert launch(one, ranks, trials=[allow_any_choice]).well()
        return curve(one)

    whole = run(1, 0)
    for cut in (run(2, 2), run(2, 3), run(1, 1, "optimizer")):
        assert cut == pytest.approx(whole, rel=1e-5)
    assert whole[-1] < whole[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stableadamw", "muon"])
def test_a_killed_run_resumes_to_the_same_bytes_on_its_shape_and_nearly_on_another(
    name: Any, order: Order, launch: Launch, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    order = replace(without_dropout(order), optimizer=Optimizer(learning_rate=5e-3, name=name))
    same, other = (moved(order, tmp_path / shape, zero_stage=2) for shape in ("same", "other"))
    for killed in (same, other):
        assert -9 in launch(killed, 2, death=("pipeline.training.zero.Engine.update", 6)).exit_codes
    assert launch(same, 2).well()
    assert digests(same) == digests(undisturbed(order, 2, zero_stage=2))
    assert launch(moved(other, tmp_path / "other", zero_stage=3), 1).well()
    assert curve(other) == pytest.approx(curve(same), rel=1e-5)
