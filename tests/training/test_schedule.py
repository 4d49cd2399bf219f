"""The learning rate, step by step."""

import pytest

from pipeline.training.order import Schedule
from pipeline.training.schedule import learning_rate


def test_it_rises_to_the_peak_and_falls_to_zero_in_straight_lines() -> None:
    rates = [learning_rate(Schedule(warmup_steps=3), peak=8.0, step=step, steps=7) for step in range(1, 8)]
    assert rates == pytest.approx([2.0, 4.0, 6.0, 8.0, 6.0, 4.0, 2.0])


def test_without_warm_up_the_first_step_is_at_the_peak() -> None:
    assert learning_rate(Schedule(warmup_steps=0), peak=3.0, step=1, steps=4) == 3.0


def test_a_run_of_warm_up_alone_never_divides_by_zero() -> None:
    assert learning_rate(Schedule(warmup_steps=4), peak=5.0, step=4, steps=4) == pytest.approx(4.0)
