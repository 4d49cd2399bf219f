"""The learning rate, step by step, against transformers' schedules."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.training.order import Schedule
from pipeline.training.schedule import learning_rate

PEAK = 3.0


def _theirs(make: Callable[[torch.optim.Optimizer], Any], steps: int) -> list[float]:
    """The rates of their steps 1 to `steps`; their first, number 0, is at zero."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=PEAK)
    schedule = make(optimizer)
    rates = []
    for _ in range(steps):
        optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    return rates


def _ours(schedule: Schedule, steps: int) -> list[float]:
    return [learning_rate(schedule, peak=PEAK, step=step, steps=steps) for step in range(1, steps + 1)]


@pytest.mark.parametrize(("steps", "warmup"), [(20, 5), (7, 0), (30, 29)])
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_a_step_is_one_later_in_a_schedule_of_transformers_one_longer(name: str, steps: int, warmup: int) -> None:
    make = getattr(transformers, f"get_{name}_schedule_with_warmup")
    theirs = _theirs(partial(make, num_warmup_steps=warmup + 1, num_training_steps=steps + 1), steps)
    assert _ours(Schedule(warmup, name), steps) == pytest.approx(theirs, abs=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize(("steps", "warmup", "decay"), [(20, 5, 4), (20, 0, 20), (50, 3, None)])
def test_warm_up_stable_decay_is_that_of_transformers(steps: int, warmup: int, decay: int | None) -> None:
    make = partial(
        transformers.get_wsd_schedule,
        num_warmup_steps=warmup + 1,
        num_decay_steps=decay or steps // 10,
        num_training_steps=steps + 1,
        decay_type="1-sqrt",
    )
    assert _ours(Schedule(warmup, "wsd", decay), steps) == pytest.approx(_theirs(make, steps), abs=1e-12)


def test_it_rises_to_the_peak_and_falls_to_zero_in_straight_lines() -> None:
    rates = [learning_rate(Schedule(warmup_steps=3), peak=8.0, step=step, steps=7) for step in range(1, 8)]
    assert rates == pytest.approx([2.0, 4.0, 6.0, 8.0, 6.0, 4.0, 2.0])


@settings(deadline=None)
@given(
    name=some.sampled_from(["linear", "cosine", "wsd"]),
    warmup=some.integers(0, 60),
    decay=some.none() | some.integers(1, 60),
    steps=some.integers(1, 60),
)
def test_it_is_never_zero_never_over_the_peak_and_never_rises_after_warm_up(
    name: str, warmup: int, decay: int | None, steps: int
) -> None:
    rates = _ours(Schedule(warmup, name, decay), steps)  # type: ignore[arg-type]
    assert all(0 < rate <= PEAK for rate in rates)
    assert rates == sorted(rates[:warmup]) + sorted(rates[warmup:], reverse=True)


def test_without_warm_up_the_first_step_is_at_the_peak() -> None:
    assert learning_rate(Schedule(warmup_steps=0), peak=3.0, step=1, steps=4) == 3.0


def test_a_run_of_warm_up_alone_never_divides_by_zero() -> None:
    assert learning_rate(Schedule(warmup_steps=4), peak=5.0, step=4, steps=4) == pytest.approx(4.0)
