"""The curve as a picture and as a line of text."""

from pathlib import Path

import pytest

from pipeline.training.journal import write_curve
from pipeline.training.picture import bars, draw, spark


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    steps = [{"step": at, "loss": 9.0 - at / 20, "learning_rate": at * 1e-4} for at in range(1, 101)]
    evaluations = [{"step": at, "held_out_mlm_loss": 8.0 - at / 25} for at in (50, 100)]
    write_curve([*steps, *evaluations], tmp_path / "curve.parquet")
    return tmp_path / "curve.parquet"


def test_equal_curves_give_equal_pictures(curve: Path, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw(curve, tmp_path / name, "pretraining")
    one = (tmp_path / "one.png").read_bytes()
    assert one.startswith(b"\x89PNG")
    assert one == (tmp_path / "two.png").read_bytes()


def test_the_line_of_text_falls_as_the_loss_does(curve: Path) -> None:
    first, drawn, last = spark(curve).split()
    assert (first, last) == ("8.950", "4.000")
    assert len(drawn) == 40
    assert drawn[0] == "█"
    assert drawn[-1] == "▁"
    assert list(drawn) == sorted(drawn, reverse=True)


def test_few_values_get_a_bar_each() -> None:
    assert bars([1.0, 3.0, 1.0]) == "▁█▁"
    assert bars([2.0]) == "▁"


def test_steps_without_a_value_are_left_out(curve: Path) -> None:
    assert spark(curve, "held_out_mlm_loss") == "6.000 █▁ 4.000"
