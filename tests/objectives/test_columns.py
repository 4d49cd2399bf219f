from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.objectives.columns import borders, copy_lists, count_values, list_column, lists_of, plain_column

lists = st.lists(st.lists(st.integers(0, 999), max_size=5), max_size=8)


@given(lists)
def test_lists_become_a_column_and_come_back(rows: list[list[int]]) -> None:
    values = np.array([value for row in rows for value in row], np.int64)
    column = list_column(values, borders(np.array([len(row) for row in rows], np.int64)), pa.list_(pa.uint16()))
    column.validate(full=True)
    assert column.to_pylist() == rows
    sliced = column[1:]
    flat, at = lists_of(sliced)
    assert [flat[begin:end].tolist() for begin, end in pairwise(at)] == rows[1:]


def test_a_plain_column_has_the_type_asked_for() -> None:
    column = plain_column(np.arange(6)[::2], pa.uint8())
    column.validate(full=True)
    assert column.type == pa.uint8()
    assert column.to_pylist() == [0, 2, 4]


def test_lists_are_copied_to_their_places() -> None:
    from_N, from_at = np.array([1, 2, 3, 4, 5], np.uint16), np.array([0, 2, 2, 5], np.int32)
    to_at, to_N = np.array([0, 3, 3, 5, 9]), np.zeros(9, np.uint16)
    copy_lists(from_N, from_at, np.array([2, 0, 1]), to_N, to_at, np.array([0, 2, 1]))
    assert to_N.tolist() == [3, 4, 5, 1, 2, 0, 0, 0, 0]


def test_values_are_counted_on_top_of_what_was_counted() -> None:
    counts_V = np.array([1, 0, 0, 5])
    count_values(np.array([3, 3, 0], np.uint16), counts_V)
    assert counts_V.tolist() == [2, 0, 0, 7]
