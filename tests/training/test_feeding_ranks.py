"""What ranks were really fed, as written down by themselves."""

import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.training.order import Order
from tests.training import one_rank
from tests.training.conftest import Launch, moved
from tests.training.one_rank import Death, Trial

pytestmark = pytest.mark.slow

ROWS = 71


@pytest.fixture
def order(order: Order) -> Order:
    """Two epochs of the first phase, almost, with a model that takes no time."""
    phase = replace(order.phases[0], steps=8, held_out=())
    return replace(order, shape=replace(order.shape, layers=1), phases=(phase, replace(phase, steps=3)))


Fed = dict[int, list[dict[str, Any]]]
"""Step -> what was seen of each of its rows, in the order of the rows."""


def _fed(launch: Launch, order: Order, folder: Path, ways: list[tuple[int, int, Death | None]], *trials: Trial) -> Fed:
    """Carry out an order on such ranks, one attempt after another."""
    fed: Fed = {}
    for attempt, (ranks, micro_batch, death) in enumerate(ways):
        noted = folder / f"attempt-{attempt}"
        noted.mkdir(parents=True)
        moving = moved(order, folder, micro_batch=micro_batch)
        launch(moving, ranks, death, trials=[partial(one_rank.note_what_is_fed, noted), *trials])
        for step, rows in _read(noted).items():
            assert fed.setdefault(step, rows) == rows  # a step that is made again is the same
    return fed


def _read(noted: Path) -> Fed:
    fed: Fed = {}
    for line in (json.loads(text) for path in noted.iterdir() for text in path.read_text().splitlines()):
        del line["part"]
        fed.setdefault(line.pop("step"), []).append(line)
    return {step: sorted(fed[step], key=lambda seen: (seen["row"], seen["where"])) for step in sorted(fed)}


@pytest.fixture
def alone(order: Order, launch: Launch, tmp_path: Path) -> Fed:
    return _fed(launch, order, tmp_path / "alone", [(1, 16, None)])


def test_every_global_batch_is_the_same_for_any_ranks_micro_batch_and_restart(
    alone: Fed, order: Order, launch: Launch, tmp_path: Path
) -> None:
    assert sorted(alone) == list(range(1, 12))
    for name, ways in {
        "two": [(2, 4, None)],
        "four": [(4, 2, None)],
        "changing": [
            (2, 3, ("pipeline.training.zero.Engine.update", 4)),
            (4, 16, ("pipeline.training.zero.Engine.update", 6)),
            (1, 5, None),
        ],
    }.items():
        assert _fed(launch, order, tmp_path / name, ways) == alone, name


def test_a_thread_that_makes_batches_late_makes_the_same(
    alone: Fed, order: Order, launch: Launch, tmp_path: Path
) -> None:
    assert _fed(launch, order, tmp_path / "late", [(1, 16, None)], one_rank.feed_late) == alone


def test_each_example_is_seen_once_an_epoch_with_new_masks(alone: Fed) -> None:
    assert [len(rows) for rows in alone.values()] == [16] * 11
    first = [seen for step in range(1, 5) for seen in alone[step]]
    second = [seen for step in range(6, 9) for seen in alone[step]]
    between = [seen["row"] for seen in alone[5]]
    for whole in (first, second):
        assert len({seen["row"] for seen in whole}) == len(whole)
    counts = Counter(seen["row"] for seen in (*first, *second)) + Counter(between)
    assert set(counts) == set(range(ROWS))  # 128 of them: all once, and 57 of them twice
    assert max(counts.values()) == 2
    masks = {seen["row"]: seen["where"] for seen in first}
    again = [masks[seen["row"]] != seen["where"] for seen in second if seen["row"] in masks]
    assert sum(again) > 0.8 * len(again) > 0
