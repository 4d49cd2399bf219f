"""A step that must not be kept: back to the last checkpoint, past its batch; the same way however often it is killed."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.training.attempt import rewinds_of
from pipeline.training.guard import Rewind
from pipeline.training.jobs import Stretch, job_of
from pipeline.training.order import Order
from tests.training import one_rank
from tests.training.conftest import Launch, curve, digests, lines_of, moved

pytestmark = pytest.mark.slow

BATCH = 11
"""Number of the batch with the bad example: that of step 12."""


@pytest.fixture
def order(order: Order) -> Order:
    """Fifteen steps in which every row comes once at most; a checkpoint every fourth."""
    phase = replace(order.phases[0], steps=15, global_batch=4, held_out=())
    return replace(
        order,
        shape=replace(order.shape, layers=1),
        phases=(phase,),
        run=replace(order.run, checkpoint_steps=4, spike_nats=20.0, max_rewinds=2),
    )


@pytest.fixture
def bad_row(order: Order) -> int:
    return int(job_of(order).stretches[0].sampler.take(BATCH)[0][2])


def _rewinds(order: Order) -> list[dict[str, Any]]:
    return [line for line in lines_of(order) if "event" in line]


@pytest.mark.parametrize(
    ("by", "reason"), [(float("nan"), "the loss is nan"), (500.0, "above the median of the last 11 steps")]
)
def test_training_goes_back_and_past_the_batch_as_if_it_had_not_been_there(
    by: float, reason: str, bad_row: int, order: Order, launch: Launch, tmp_path: Path
) -> None:
    without = moved(order, tmp_path / "without")
    Path(without.work).mkdir(parents=True)
    rewinds_of(without).add(Rewind(12, 0, BATCH, "told so"))
    bad = moved(order, tmp_path / "bad")
    assert launch(without, 2).well()
    assert launch(bad, 2, trials=[partial(one_rank.spoil, bad_row, by)]).well()
    (event,) = _rewinds(bad)
    assert reason in event.pop("reason")
    assert event == {"event": "rewound", "step": 12, "to_step": 8, "phase": 0, "batch": BATCH}
    assert [line["step"] for line in lines_of(bad) if "loss" in line] == list(range(1, 16))
    assert digests(bad) == digests(without)
    result = json.loads((Path(bad.out) / "result.json").read_text())
    assert (result["rewinds"], result["skipped_batches"]) == (1, [{"phase": 0, "batch": BATCH}])


def test_killed_before_and_after_going_back_it_goes_the_same_way(
    bad_row: int, order: Order, launch: Launch, tmp_path: Path
) -> None:
    trials = [partial(one_rank.spoil, bad_row, float("nan"))]
    steady, killed = moved(order, tmp_path / "steady"), moved(order, tmp_path / "killed")
    assert launch(steady, trials=trials).well()
    for death in (
        ("pipeline.training.guard.Rewinds.add", 1),  # nothing is written down yet
        ("pipeline.training.guard.write_json", 1),
        ("pipeline.training.attempt._look", 2),  # it is, and nothing else has happened
        ("pipeline.training.zero.Engine.update", 3),  # on the way past the batch
    ):
        assert launch(killed, death=death, trials=trials).exit_codes == [-9], death
    assert launch(killed, trials=trials).well()
    assert len(_rewinds(killed)) == 1
    assert digests(killed) == digests(steady)


def test_it_goes_back_to_the_start_where_there_is_no_checkpoint_and_not_too_often(
    order: Order, launch: Launch, tmp_path: Path
) -> None:
    sampler = job_of(order).stretches[0].sampler
    trials = [partial(one_rank.spoil, int(sampler.take(number)[0][0]), float("nan")) for number in (1, 2, 3)]
    bad = moved(order, tmp_path)
    ended = launch(bad, trials=trials)
    assert ended.exit_codes == [3]
    assert "step 2: the loss is nan" in ended.log
    assert "went back 2 times for such steps, run.max_rewinds=2" in ended.log
    assert launch(moved(order, tmp_path, max_rewinds=3), trials=trials).well()
    assert [(event["to_step"], event["batch"]) for event in _rewinds(bad)] == [(0, 1), (0, 2), (0, 3)]
    assert len(curve(bad)) == 15


@pytest.mark.parametrize(("stage", "norm"), [(0, "nan"), (2, "inf"), (3, "inf")])
def test_a_gradient_that_is_not_finite_is_gone_back_from_too(
    stage: int, norm: str, order: Order, launch: Launch, tmp_path: Path
) -> None:
    bad = moved(order, tmp_path, zero_stage=stage)
    assert launch(bad, trials=[partial(one_rank.spoil_gradient, 6)]).well()
    (event,) = _rewinds(bad)
    assert (event["reason"], event["step"], event["to_step"]) == (f"the gradient norm is {norm}", 6, 4)
    assert len(curve(bad)) == 15


def test_batches_are_passed_over_in_their_order(order: Order) -> None:
    stretch = job_of(order).stretches[0]
    assert _numbers(stretch, 6, {1, 2, 7}) == [0, 3, 4, 5, 6, 8]
    bounded = replace(stretch, steps=5, bounded=True)
    assert _numbers(bounded, 5, {2}) == [0, 1, 3, 4, 0]
    assert _numbers(bounded, 5, set()) == [0, 1, 2, 3, 4]


def _numbers(stretch: Stretch, steps: int, skipped: set[int]) -> list[int]:
    return [stretch.batch_of(within, frozenset(skipped)) for within in range(steps)]
