import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tasks.rows import Labelled, Question
from pipeline.tasks.splits import hold_back
from pipeline.tasks.task import Row


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.floats(0, 1), st.integers(0, 9))
def test_questions_about_one_context_are_held_back_together(contexts: list[str], fraction: float, seed: int) -> None:
    rows: list[Row] = [Question(str(at), "?", context, ()) for at, context in enumerate(contexts)]
    kept, out = hold_back(rows, fraction, np.random.default_rng(seed))
    assert sorted([*kept, *out], key=rows.index) == rows
    assert kept == sorted(kept, key=rows.index)
    assert {row.context for row in kept if isinstance(row, Question)}.isdisjoint(
        row.context for row in out if isinstance(row, Question)
    )


def test_other_rows_are_drawn_one_by_one() -> None:
    rows: list[Row] = [Labelled("same", "", "0") for _ in range(1000)]
    kept, out = hold_back(rows, 0.25, np.random.default_rng(0))
    assert len(kept) + len(out) == 1000
    assert len(out) == pytest.approx(250, abs=50)
