"""Which losses are refused, and how what is passed over is remembered."""

import os
from pathlib import Path

import pytest

from pipeline.training.guard import FEWEST, WINDOW, Guard, Rewind, Rewinds, skips_of


def _guard(*losses: float, spike_nats: float | None = 2.0, phase: int = 0) -> Guard:
    return Guard(spike_nats, [{"phase": phase, "loss": loss} for loss in losses])


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_is_refused_at_any_time(loss: float) -> None:
    assert _guard(spike_nats=None).look(0, loss) == f"the loss is {loss}"


def test_a_loss_far_above_the_median_is_refused_and_does_not_count() -> None:
    guard = _guard(*[5.0] * FEWEST)
    for _ in range(WINDOW):
        assert guard.look(0, 7.1) == "the loss is 7.100, 2.100 above the median of the last 10 steps"
    assert guard.look(0, 7.0) is None


def test_nothing_is_a_spike_before_there_are_enough_steps_of_the_phase() -> None:
    assert _guard(*[5.0] * (FEWEST - 1)).look(0, 50.0) is None
    assert _guard(*[5.0] * WINDOW).look(1, 50.0) is None
    assert _guard(*[5.0] * WINDOW, spike_nats=None).look(0, 50.0) is None


def test_the_median_is_that_of_the_last_steps() -> None:
    guard = _guard(*[9.0] * WINDOW)
    for _ in range(WINDOW // 2 + 1):
        assert guard.look(0, 5.0) is None
    assert guard.look(0, 7.5) is not None


def test_one_that_was_told_earlier_losses_decides_as_one_that_saw_them() -> None:
    losses = [4.0 + (at * 7 % 5) / 5 for at in range(70)]
    seen, told = _guard(spike_nats=0.5), _guard(*losses[-WINDOW:], spike_nats=0.5)
    for loss in losses:
        seen.look(0, loss)
    assert [seen.look(0, loss) for loss in (5.0, 4.1, 5.2)] == [told.look(0, loss) for loss in (5.0, 4.1, 5.2)]


def test_rewinds_are_kept_for_their_order_alone(tmp_path: Path) -> None:
    rewinds = Rewinds(tmp_path, "this")
    assert rewinds.read() == ()
    first, second = Rewind(7, 0, 6, "the loss is nan"), Rewind(9, 1, 2, "the gradient norm is inf")
    rewinds.add(first)
    rewinds.add(second)
    assert Rewinds(tmp_path, "this").read() == (first, second)
    assert skips_of(rewinds.read()) == ((0, 6), (1, 2))
    assert Rewinds(tmp_path, "another").read() == ()


def test_a_rewind_survives_a_power_cut_once_it_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink()))
    Rewinds(tmp_path, "this").add(Rewind(7, 0, 6, "the loss is nan"))
    assert [path.name[:13] for path in synced] == [".rewinds.json", tmp_path.name[:13]]
