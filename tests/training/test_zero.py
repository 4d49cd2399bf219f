"""DeepSpeed around a module: in bf16, with offload, and what it must not do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError
from pipeline.training.order import Optimizer, Order, Running
from pipeline.training.zero import check
from tests.training.conftest import Launch, Undisturbed, curve, digests, moved, without_dropout


@pytest.mark.parametrize(
    ("name", "run", "precision", "message"),
    [
        (
            "adamw",
            Running(zero_stage=0),
            "bf16",
            r"^order\.precision=bf16 with order\.run\.zero_stage=0: .* take stage 1",
        ),
        ("lamb", Running(), "float32", r"^order\.optimizer\.name=lamb with order\.run\.device=cpu: .* CUDA alone"),
    ],
)
def test_a_rank_refuses_what_does_not_go_together(name: Any, run: Running, precision: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(Optimizer(1e-3, name=name), run, precision)


@pytest.mark.slow
def test_nothing_is_compiled(order: Order, launch: Launch) -> None:
    death = ("deepspeed.ops.op_builder.builder.OpBuilder.load", 1)
    assert launch(order, 2, death).well()


@pytest.mark.slow
@pytest.mark.parametrize(("ranks", "stage", "offload"), [(1, 1, "none"), (2, 2, "optimizer"), (2, 3, "parameters")])
def test_bf16_resumes_to_the_same_bytes_and_stays_near_float32(
    ranks: int, stage: int, offload: Any, order: Order, launch: Launch, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Only so if the float32 weights behind those in bf16 are in the checkpoint, and the first of them not rounded."""
    exact = undisturbed(without_dropout(order))
    order = replace(without_dropout(order), precision="bf16")
    killed = moved(order, tmp_path, zero_stage=stage, offload=offload)
    assert -9 in launch(killed, ranks, death=("pipeline.training.zero.Engine.update", 6)).exit_codes
    assert launch(killed, ranks).well()
    assert digests(killed) == digests(undisturbed(order, ranks, zero_stage=stage, offload=offload))
    assert curve(killed) == pytest.approx(curve(exact), rel=2e-2)
    assert curve(killed) != pytest.approx(curve(exact), rel=1e-5)
