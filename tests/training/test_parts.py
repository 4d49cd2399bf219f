"""Parts of a model that learn slower or later: which they are, and that every ZeRO stage obeys."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.core.seeds import seed_of
from pipeline.model import huggingface
from pipeline.model.encoder import initialize
from pipeline.model.heads import Learner
from pipeline.training.batches import Loader
from pipeline.training.jobs import job_of
from pipeline.training.order import Optimizer, Order, Schedule, Tuning
from pipeline.training.parts import parts_of
from pipeline.training.schedule import learning_rate
from tests.training.conftest import Launch, curve, moved, without_dropout
from tests.training.test_finetuning import tuning_of

NAMES = ("heads.tag.classifier.bias", "encoder.layers.3.attention.qkv.weight", "encoder.layers.0.inner.bias")


def _tuning(**settings: Any) -> Tuning:
    return Tuning("tag", "train", "dev", batch=8, **({"epochs": 12} | settings))


def test_the_head_comes_first_then_layers_from_the_last_then_embeddings() -> None:
    parts = parts_of(_tuning(layer_decay=0.5), layers=4, units=80)
    assert parts is not None
    assert [parts.depth(name) for name in NAMES] == [0, 1, 4]
    assert parts.depth("encoder.embeddings.word.weight") == 5
    assert parts.depth("encoder.norm.weight") == 1
    assert parts.shares == (1, 0.5, 0.25, 0.125, 0.0625, 0.03125)
    assert parts.frozen(0) == 0


def test_without_a_choice_there_are_no_parts() -> None:
    assert parts_of(_tuning(), layers=4, units=80) is None


def test_one_part_more_learns_every_epoch() -> None:
    parts = parts_of(_tuning(trained="gradual"), layers=4, units=80)
    assert parts is not None
    assert parts.begins == (0, 10, 20, 30, 40, 50)
    assert [parts.frozen(made) for made in (0, 9, 10, 49, 50)] == [5, 5, 4, 1, 0]


@pytest.mark.parametrize("epochs", [2, 3, 5])
def test_of_few_epochs_the_first_is_the_heads_alone_and_in_the_last_all_parts_learn(epochs: int) -> None:
    parts = parts_of(_tuning(trained="gradual", epochs=epochs), layers=4, units=80)
    assert parts is not None
    assert list(parts.begins) == sorted(parts.begins)
    assert [begin for begin in parts.begins if begin < 10] == [0]
    assert parts.begins[-1] == 10 * (epochs - 1)
    assert len(set(parts.begins)) == epochs


def test_a_head_alone_learns_for_ever() -> None:
    parts = parts_of(_tuning(trained="head"), layers=4, units=80)
    assert parts is not None
    assert parts.frozen(1_000_000) == 5


@pytest.fixture
def gradual(order: Order, tmp_path: Path) -> Order:
    """Four epochs of one part more each and two layers: 21 steps, in which every part begins."""
    tuning = replace(tuning_of("tag", tmp_path), epochs=4, batch=9, layer_decay=0.7, trained="gradual")
    return replace(
        without_dropout(order), job="finetune", tuning=tuning, objectives=(), phases=(), masking=None,
        evaluate_every=None, optimizer=Optimizer(learning_rate=5e-3, clip=0.5), schedule=Schedule(2),
    )  # fmt: skip


def _by_hand(order: Order) -> Mapping[str, Tensor]:
    """Train with plain torch: an AdamW for each part, made when its turn comes."""
    assert order.tuning is not None
    job, (stretch,) = job_of(order), job_of(order).stretches
    learner = Learner(order.shape, job.objectives)
    initialize(learner, order.shape, seed_of(order.seed, "weights"))
    parts = parts_of(order.tuning, order.shape.layers, stretch.rows.units)
    assert parts is not None
    loader = Loader(stretch.rows, stretch.masks, 0, 1, 1000, torch.device("cpu"))
    optimizers: dict[int, torch.optim.AdamW] = {}
    for step in range(1, stretch.steps + 1):
        trained = [one for name, one in learner.named_parameters() if parts.begins[parts.depth(name)] < step]
        learner.zero_grad()
        (batch,) = loader.load(*stretch.sampler.take(step - 1))
        loss_sum, count, _ = learner(batch)["tag"]
        (loss_sum / count).backward()
        torch.nn.utils.clip_grad_norm_(trained, order.optimizer.clip)
        rate = learning_rate(order.schedule, peak=order.optimizer.learning_rate, step=step, steps=stretch.steps)
        for depth, begin in enumerate(parts.begins):
            if begin < step:
                mine = [one for name, one in learner.named_parameters() if parts.depth(name) == depth]
                optimizer = optimizers.setdefault(depth, _adamw(mine, order))
                for group in optimizer.param_groups:
                    group["lr"] = rate * parts.shares[depth]
                optimizer.step()
    return {name: one.detach() for name, one in learner.named_parameters()}


def _adamw(parameters: list[torch.nn.Parameter], order: Order) -> torch.optim.AdamW:
    kinds = [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": order.optimizer.weight_decay},
        {"params": [one for one in parameters if one.ndim < 2], "weight_decay": 0.0},
    ]
    betas = (order.optimizer.beta1, order.optimizer.beta2)
    return torch.optim.AdamW([kind for kind in kinds if kind["params"]], betas=betas, eps=order.optimizer.eps)


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "ranks", "killed"), [(0, 1, False), (2, 2, True), (3, 2, False)])
def test_every_stage_unfreezes_as_plain_torch_would(
    stage: int, ranks: int, killed: bool, gradual: Order, launch: Launch, tmp_path: Path
) -> None:
    order = moved(gradual, tmp_path / "a", zero_stage=stage, checkpoint_steps=7, micro_batch=1000)
    if killed:
        assert -9 in launch(order, ranks, death=("pipeline.training.zero.Engine.update", 10)).exit_codes
    assert launch(order, ranks).well()
    assert len(curve(order)) == 20
    _, weights = huggingface.load(Path(order.out))
    expected = _by_hand(order)
    for name, tensor in weights.items():
        torch.testing.assert_close(
            tensor, expected[name], atol=2e-4, rtol=1e-3, msg=lambda why, at=name: f"{at}: {why}"
        )


@pytest.mark.slow
def test_a_frozen_encoder_stays_to_the_bit(gradual: Order, launch: Launch, tmp_path: Path) -> None:
    assert gradual.tuning is not None
    order = moved(gradual, tmp_path / "a", zero_stage=3)
    order = replace(order, tuning=replace(gradual.tuning, trained="head", epochs=1))
    assert launch(order, 2).well()
    fresh = Learner(order.shape, job_of(order).objectives)
    initialize(fresh, order.shape, seed_of(order.seed, "weights"))
    huggingface.save(tmp_path / "fresh", order.shape, dict(fresh.named_parameters()))
    before, after = (load_file(Path(folder) / "model.safetensors") for folder in (tmp_path / "fresh", order.out))
    moved_names = {name for name, tensor in before.items() if not tensor.equal(after[name])}
    assert moved_names == {"classifier.weight", "classifier.bias"}
