"""Settings that DeepSpeed cannot combine, and what it must not do."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.training.order import Order, Running
from pipeline.training.zero import check
from tests.training.conftest import Launch


@pytest.mark.parametrize(
    ("run", "precision", "message"),
    [
        (Running(zero_stage=0), "bf16", r"precision=bf16 with order\.run\.zero_stage=0: use zero_stage 1, 2 or 3"),
        (
            Running(zero_stage=0, offload="optimizer"),
            "float32",
            r"offload=optimizer needs order\.run\.zero_stage 1, 2 or 3",
        ),
        (
            Running(zero_stage=2, offload="parameters"),
            "float32",
            r"offload=parameters needs order\.run\.zero_stage=3, not 2",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(run: Running, precision: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(run, precision)  # type: ignore[arg-type]


@pytest.mark.slow
def test_nothing_is_compiled(order: Order, launch: Launch) -> None:
    death = ("deepspeed.ops.op_builder.builder.OpBuilder.load", 1)
    assert launch(order, 2, death).well()
