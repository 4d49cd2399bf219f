"""Which rows make a batch: every row once an epoch, in batches of the sizes asked for."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.training.order import Order, Schedule
from pipeline.training.sampler import Sampler, Sizes
from tests.training.conftest import Undisturbed, curve, without_dropout


@settings(deadline=None)
@given(some.integers(1, 40), some.integers(1, 40), some.integers(0, 30))
def test_a_growing_batch_begins_at_the_first_size_and_ends_at_the_full_one(first: int, more: int, warmup: int) -> None:
    sizes = Sizes(first + more, first, warmup)
    each = [sizes.before(number + 1) - sizes.before(number) for number in range(warmup + 3)]
    assert each == sorted(each)
    assert each[:warmup] == [first + more * number // warmup for number in range(warmup)]
    assert each[warmup:] == [first + more] * 3


@settings(deadline=None)
@given(rows=some.integers(1, 30), first=some.integers(1, 12), more=some.integers(0, 12), warmup=some.integers(0, 12))
def test_every_row_is_seen_once_an_epoch_while_the_batch_grows(rows: int, first: int, more: int, warmup: int) -> None:
    sampler = Sampler(rows, Sizes(first + more, first, warmup), 7, "phase")
    taken = [sampler.take(number) for number in range(15)]
    seen = np.concatenate([rows_B for rows_B, _ in taken])
    epochs = np.concatenate([epochs_B for _, epochs_B in taken])
    assert epochs.tolist() == [at // rows for at in range(len(seen))]
    for epoch in range(len(seen) // rows):
        assert sorted(seen[epochs == epoch]) == list(range(rows))


def test_a_batch_does_not_depend_on_those_taken_before() -> None:
    sizes = Sizes(9, 2, 5)
    forward, alone = Sampler(23, sizes, 3, 0), [Sampler(23, sizes, 3, 0).take(number) for number in range(9)]
    for number, (rows_B, epochs_B) in enumerate(alone):
        again_B, again_epochs_B = forward.take(number)
        assert (again_B.tolist(), again_epochs_B.tolist()) == (rows_B.tolist(), epochs_B.tolist())


def test_a_growing_batch_reaches_the_same_rows_in_the_same_order() -> None:
    growing, fixed = Sampler(50, Sizes(8, 2, 4), 1, 0), Sampler(50, 8, 1, 0)
    taken = [np.concatenate([one.take(number)[0] for number in range(6)]) for one in (growing, fixed)]
    assert taken[0].tolist() == taken[1][: len(taken[0])].tolist()


@pytest.mark.slow
def test_training_on_growing_batches_does_not_hang_on_ranks(order: Order, undisturbed: Undisturbed) -> None:
    growing = replace(order.phases[0], first_batch=2, batch_warmup_steps=3)
    order = replace(without_dropout(order), phases=(growing, order.phases[1]), schedule=Schedule(2, "wsd", 3))
    alone, together = undisturbed(order, 1, zero_stage=0), undisturbed(order, 2, zero_stage=2)
    assert curve(alone, "sequences") == [2, 6, 11, 16, 16, 12, 12, 12]
    assert curve(together) == pytest.approx(curve(alone), rel=1e-5)
