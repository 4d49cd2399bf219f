"""Which rows make global batch number s: a pure function of (seed, phase, s), not of ranks, micro-batches or restarts.

Position p of a phase is row `permutation of epoch p // N` [p % N]. Letters: N rows of all files, B rows of a batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.seeds import rng

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sizes:
    """Rows of each global batch: `full`, or growing evenly from `first` to it over `warmup` batches.

    Source: Smith et al. 2018, Don't decay the learning rate, increase the batch size; GPT-3's ramp, Brown et al. 2020.
    """

    full: int
    first: int | None = None
    warmup: int = 0

    def before(self, number: int) -> int:
        """Return how many rows the batches before batch `number` hold together.

        Batch s of w has first + floor((full - first) s / w) rows.
        """
        growing = 0 if self.first is None else min(number, self.warmup)
        grown = (self.full - (self.first or 0)) * np.arange(growing) // max(1, self.warmup)
        return (self.first or 0) * growing + int(grown.sum()) + self.full * (number - growing)

    def borders(self, batches: int) -> Ints:
        """Give where each of the first batches begins, and where the last of them ends."""
        growing = 0 if self.first is None else min(batches, self.warmup)
        grown = (self.full - (self.first or 0)) * np.arange(growing) // max(1, self.warmup)
        sizes = np.full(batches, self.full, np.int64)
        sizes[:growing] = (self.first or 0) + grown
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])


class Sampler:
    """Chooses the rows of global batch number s; every row exactly once an epoch."""

    def __init__(self, rows: int, batch: int | Sizes, seed: int, *names: str | int, epochs: int | None = None) -> None:
        self._rows, self._seed, self._names = rows, seed, names
        self._sizes = batch if isinstance(batch, Sizes) else Sizes(batch)
        self._end = None if epochs is None else rows * epochs
        self._permutations: dict[int, Ints] = {}

    def take(self, number: int) -> tuple[Ints, Ints]:
        """Return rows_B and the epoch each is drawn in; the last batch of a bounded number of epochs may be smaller."""
        begin, end = self._sizes.before(number), self._sizes.before(number + 1)
        end = end if self._end is None else min(end, self._end)
        epochs_B, at_B = np.divmod(np.arange(begin, end), self._rows)
        rows_B = np.empty(len(at_B), np.int64)
        wanted = np.unique(epochs_B).tolist()
        for epoch in wanted:
            here = epochs_B == epoch
            rows_B[here] = self._permutation(epoch)[at_B[here]]
        self._permutations = {epoch: self._permutations[epoch] for epoch in wanted}
        return rows_B, epochs_B

    def places(self, wanted_W: Ints, end: int) -> Iterator[tuple[Ints, Ints]]:
        """Yield, an epoch at a time, the positions before `end` at which some rows stand, and which row stands there."""
        is_wanted_N = np.zeros(self._rows, np.bool_)
        is_wanted_N[wanted_W] = True
        for epoch in range(-(-end // self._rows)):
            row_N = self._drawn(epoch)[: end - epoch * self._rows]
            at_P = np.flatnonzero(is_wanted_N[row_N])
            yield epoch * self._rows + at_P, row_N[at_P]

    def _permutation(self, epoch: int) -> Ints:
        if epoch not in self._permutations:
            self._permutations[epoch] = self._drawn(epoch)
        return self._permutations[epoch]

    def _drawn(self, epoch: int) -> Ints:
        return rng(self._seed, "order", *self._names, epoch).permutation(self._rows)
