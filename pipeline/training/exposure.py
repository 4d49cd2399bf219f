"""At which steps a model was shown certain rows: the sampler asked backwards.

Letters: N rows of all files, W of them that are asked for, S showings of these, in the order of training.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.training.sampler import Ints, Sampler, Sizes

PASSED_OVER = 0
"""Stands for the step of a batch that no step trained on; steps count from 1."""


@dataclass(frozen=True)
class Course:
    """How a phase of pretraining was fed."""

    rows: int
    sizes: Sizes
    seed: int
    phase: int  # its number; the sampler's draws hang on it
    steps: int
    before: int = 0  # steps of the phases before it
    skipped: frozenset[int] = frozenset()  # numbers of the batches that were passed over

    @property
    def batches(self) -> int:
        """Count its batches, with those that were passed over."""
        batches = self.steps
        for number in sorted(self.skipped):
            batches += number < batches
        return batches


@dataclass(frozen=True)
class Showings:
    """Which row was shown at which step, and the how-manieth pass over all rows (from 1) that was."""

    row_S: Ints
    step_S: Ints  # PASSED_OVER where training went back and past the batch
    epoch_S: Ints

    def by_row(self) -> "dict[int, Showings]":
        """Part them by row."""
        order_S = np.argsort(self.row_S, kind="stable")
        rows, begins = np.unique(self.row_S[order_S], return_index=True)
        parts = np.split(order_S, begins[1:]) if len(rows) else []
        return {
            int(row): Showings(self.row_S[part], self.step_S[part], self.epoch_S[part])
            for row, part in zip(rows.tolist(), parts, strict=True)
        }


def showings(course: Course, wanted_W: Ints) -> Showings:
    """Tell when some rows were shown; takes the memory of one epoch's order and of a number a step."""
    ends_B = course.sizes.borders(course.batches)
    sampler = Sampler(course.rows, course.sizes, course.seed, course.phase)
    parts = list(sampler.places(wanted_W, end=int(ends_B[-1])))
    place_S = np.concatenate([np.zeros(0, np.int64), *(places for places, _ in parts)])
    row_S = np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in parts)])
    batch_S = np.searchsorted(ends_B, place_S, side="right") - 1
    return Showings(row_S, _steps(course, batch_S), place_S // course.rows + 1)


def _steps(course: Course, batch_S: Ints) -> Ints:
    """Number the steps that trained on some batches."""
    skipped = np.array(sorted(course.skipped), np.int64)
    step_S = course.before + 1 + batch_S - np.searchsorted(skipped, batch_S)
    return np.where(np.isin(batch_S, skipped), PASSED_OVER, step_S)
