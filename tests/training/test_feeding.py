"""What a thread makes ahead of the loop is what the loop would have made."""

import threading
from collections.abc import Iterator

import pytest

from pipeline.training.feeding import AHEAD, Ahead


def test_items_come_in_their_order_and_end() -> None:
    with Ahead(range(100)) as items:
        assert list(items) == list(range(100))
        assert list(items) == []


def test_no_more_is_made_than_is_asked_for_soon() -> None:
    made = []

    def make() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    with Ahead(make()) as items:
        assert [next(items) for _ in range(3)] == [0, 1, 2]
    assert len(made) <= 3 + AHEAD + 2  # what lies ready, and what was being made while it was closed


def test_what_goes_wrong_while_making_is_raised_where_it_is_asked_for() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with Ahead(make()) as items:
        assert next(items) == 1
        for _ in range(2):
            with pytest.raises(OSError, match="the disk is gone"):
                next(items)


def test_nothing_runs_on_when_it_is_closed() -> None:
    before = set(threading.enumerate())  # those of others may end meanwhile
    with Ahead(iter(int, 1)) as items:
        next(items)
    assert set(threading.enumerate()) <= before
