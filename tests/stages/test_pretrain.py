"""What the stage asks of the ranks; that they carry it out is shown in tests/training and tests/e2e."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config import Run
from pipeline.core.errors import ConfigError
from pipeline.core.files import sha256_of
from pipeline.core.store import Artifact
from pipeline.stages import pretrain as stage
from pipeline.training.order import Order
from tests.stages.conftest import Workshop


def order_of(workshop: Workshop, news: list[str], tmp_path: Path, **settings: Any) -> Order:
    steps = workshop.plan(workshop.write({"a.txt": news[:40]}), **settings)
    step = steps["pretrain"]
    inputs: dict[str, Artifact] = {role: workshop.make(needed) for role, needed in step.inputs.items()}
    context: Any = SimpleNamespace(inputs=inputs, run=Run(micro_batch=7), out=tmp_path / "out", work=tmp_path / "work")
    return stage._order(step.config, context)  # type: ignore[arg-type]


def test_the_order_names_examples_masks_and_shape(workshop: Workshop, news: list[str], tmp_path: Path) -> None:
    order = order_of(workshop, news, tmp_path)
    assert [len(phase.examples) for phase in order.phases] == [8]
    assert [len(phase.held_out) for phase in order.phases] == [8]
    assert order.shape.vocab_size == 400
    assert order.masking is not None
    assert (order.masking.mask_id, order.masking.special_ids) == (4, (0, 1, 2, 3, 4))
    assert order.run.micro_batch == 7


def test_a_corpus_with_nothing_held_out_is_trained_on_without_evaluation(
    workshop: Workshop, news: list[str], tmp_path: Path
) -> None:
    order = order_of(workshop, news, tmp_path, examples={"held_out_fraction": 0.0})
    assert [phase.held_out for phase in order.phases] == [()]


def test_pretraining_goes_on_from_a_folder_in_its_shape_with_its_tokenizer(
    workshop: Workshop, news: list[str], bert: Path, tmp_path: Path
) -> None:
    phases = [{"sequence_length": 48, "steps": 1, "global_batch": 2}]
    order = order_of(workshop, news, tmp_path, pretrain={"init": str(bert)}, phases=phases)
    assert order.init is not None
    assert sha256_of(Path(order.init) / "model.safetensors") == sha256_of(bert / "model.safetensors")
    assert (order.shape.width, order.shape.max_positions, order.shape.vocab_size) == (16, 48, 83)
    assert order.masking is not None
    assert order.masking.tokenizer == order.init


def test_phases_longer_than_the_model_reads_are_refused(
    workshop: Workshop, news: list[str], bert: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"recipe\.phases\.0\.sequence_length=64 exceeds the 48 positions of the mod"):
        order_of(workshop, news, tmp_path, pretrain={"init": str(bert)})
