"""The sampler asked backwards, held against the sampler."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.training.exposure import PASSED_OVER, Course, showings
from pipeline.training.jobs import Stretch
from pipeline.training.sampler import Sampler, Sizes


def asked(course: Course) -> Counter[tuple[int, int, int]]:
    """Say which row is taken at which step and epoch, as the loop takes it."""
    sampler = Sampler(course.rows, course.sizes, course.seed, course.phase)
    stretch = Stretch(None, None, None, None, sampler, course.steps)  # type: ignore[arg-type]
    numbers = {stretch.batch_of(within, course.skipped): course.before + within + 1 for within in range(course.steps)}
    taken: Counter[tuple[int, int, int]] = Counter()
    for number in range(max(numbers) + 1):
        step = numbers.get(number, PASSED_OVER)
        rows_B, epochs_B = sampler.take(number)
        taken.update((row, step, epoch + 1) for row, epoch in zip(rows_B.tolist(), epochs_B.tolist(), strict=True))
    return taken


@settings(deadline=None, max_examples=60)
@given(
    rows=some.integers(1, 25),
    sizes=some.builds(lambda first, more, warmup: Sizes(first + more, first, warmup), *[some.integers(1, 9)] * 3),
    phase=some.integers(0, 2),
    steps=some.integers(1, 12),
    before=some.integers(0, 50),
    skipped=some.frozensets(some.integers(0, 15), max_size=4),
)
def test_every_row_is_shown_when_the_loop_takes_it(
    rows: int, sizes: Sizes, phase: int, steps: int, before: int, skipped: frozenset[int]
) -> None:
    course = Course(rows, sizes, seed=5, phase=phase, steps=steps, before=before, skipped=skipped)
    shown = showings(course, np.arange(rows))
    told = zip(shown.row_S.tolist(), shown.step_S.tolist(), shown.epoch_S.tolist(), strict=True)
    assert Counter(told) == asked(course)


@settings(deadline=None)
@given(first=some.integers(1, 40), more=some.integers(0, 40), warmup=some.integers(0, 30), batches=some.integers(0, 40))
def test_borders_lie_where_batches_begin(first: int, more: int, warmup: int, batches: int) -> None:
    for sizes in (Sizes(first + more, first, warmup), Sizes(first)):
        assert sizes.borders(batches).tolist() == [sizes.before(number) for number in range(batches + 1)]


def test_only_the_rows_asked_for_are_told_and_each_apart() -> None:
    course = Course(rows=10, sizes=Sizes(4), seed=1, phase=0, steps=9)
    by_row = showings(course, np.array([3, 7])).by_row()
    everything = asked(course)
    assert set(by_row) == {3, 7}
    for row, shown in by_row.items():
        steps = sorted(step for its, step, _ in everything if its == row)
        assert (shown.step_S.tolist(), set(shown.row_S.tolist())) == (steps, {row})
    assert showings(course, np.zeros(0, np.int64)).by_row() == {}


@pytest.mark.parametrize("skipped", [frozenset[int](), frozenset({999_000})])
def test_a_million_steps_are_looked_through(skipped: frozenset[int]) -> None:
    course = Course(rows=250_000, sizes=Sizes(8, 2, 100), seed=1, phase=0, steps=1_000_000, skipped=skipped)
    shown = showings(course, np.array([17, 249_999]))
    each = [len(one.step_S) for one in shown.by_row().values()]
    assert sum(each) in (63, 64)
    sampler = Sampler(course.rows, course.sizes, course.seed, course.phase)
    for row, step in zip(shown.row_S.tolist()[-2:], shown.step_S.tolist()[-2:], strict=True):
        assert row in sampler.take(step - 1 + (len(skipped) if step > 999_000 else 0))[0]
