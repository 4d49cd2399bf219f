"""A global batch is dealt whole, evenly, and with next to no padding."""

import resource
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.seeds import rng
from pipeline.training.dealing import deal, deal_packed

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=70)
RANKS = st.integers(1, 5)
SPARE_BYTES = 256 << 20
"""A number for each two of 20,000 rows would take 3.2 GB."""


@settings(deadline=None)  # the first call compiles
@given(lengths=LENGTHS, ranks=RANKS, micro_batch=st.integers(1, 9), multiple=st.sampled_from([1, 8]))
def test_every_row_comes_once_in_even_shares_that_fit(
    lengths: list[int], ranks: int, micro_batch: int, multiple: int
) -> None:
    length_B = np.array(lengths)
    dealt = deal(length_B, ranks=ranks, micro_batch=micro_batch, multiple=multiple)
    assert sorted(np.concatenate([np.concatenate(parts) for parts in dealt])) == list(range(len(lengths)))
    assert len({len(parts) for parts in dealt}) == 1
    width_B = -(-length_B // multiple) * multiple
    for turn in zip(*dealt, strict=True):
        sizes = [len(part) for part in turn]
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) > 0
        assert all(len(part) * width_B[part].max() <= micro_batch * width_B.max() for part in turn if len(part))


@settings(deadline=None)  # the first call compiles
@given(lengths=LENGTHS, ranks=RANKS, micro_batch=st.integers(1, 9))
def test_the_longest_rows_come_first(lengths: list[int], ranks: int, micro_batch: int) -> None:
    length_B = np.array(lengths)
    dealt = deal(length_B, ranks=ranks, micro_batch=micro_batch)
    turns = [length_B[np.concatenate(turn)] for turn in zip(*dealt, strict=True)]
    for longer, shorter in pairwise(turns):
        assert longer.min() >= shorter.max()


@given(lengths=LENGTHS, ranks=RANKS, tokens=st.integers(1, 200))
def test_packed_rows_come_once_in_even_shares_that_fit(lengths: list[int], ranks: int, tokens: int) -> None:
    length_B = np.array(lengths)
    dealt = deal_packed(length_B, ranks=ranks, tokens=tokens)
    assert sorted(np.concatenate([np.concatenate(parts) for parts in dealt])) == list(range(len(lengths)))
    for turn in zip(*dealt, strict=True):
        sizes = [len(part) for part in turn]
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) > 0
        assert all(len(part) < 2 or length_B[part].sum() <= tokens for part in turn)


def test_packed_rows_that_fit_are_one_micro_batch_whatever_their_lengths() -> None:
    length_B = np.arange(1, 33)
    assert len(deal_packed(length_B, ranks=1, tokens=int(length_B.sum()))[0]) == 1
    assert len(deal_packed(length_B, ranks=1, tokens=int(length_B.sum()) - 1)[0]) == 2


def test_rows_of_one_length_need_no_more_micro_batches_than_their_number() -> None:
    for ranks, micro_batch, parts in ((1, 32, 8), (2, 32, 4), (2, 8, 16), (4, 256, 1), (1, 100, 3)):
        assert len(deal(np.full(256, 64), ranks=ranks, micro_batch=micro_batch)[0]) == parts


@pytest.mark.parametrize("longest", [128, 512])
@pytest.mark.parametrize("micro_batch", [8, 32])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_of_pairs_as_the_paper_makes_them_less_than_two_percent_is_padding(
    ranks: int, micro_batch: int, longest: int
) -> None:
    """A tenth of the pairs has a length drawn at random (Devlin et al. 2019, appendix A.2), as has what ends a text."""
    draws = rng(3, "lengths", longest)
    length_B = np.where(draws.random(256) < 0.13, draws.integers(5, longest, 256), longest)
    dealt = deal(length_B, ranks=ranks, micro_batch=micro_batch)
    cells = sum(len(part) * length_B[part].max() for parts in dealt for part in parts if len(part))
    assert 1 - length_B.sum() / cells < 0.02


def test_memory_for_a_huge_batch_is_that_of_its_lengths() -> None:
    length_B = np.where(np.arange(20_000) % 7 == 0, 1 + np.arange(20_000) % 512, 512)
    deal(length_B[:9], ranks=8, micro_batch=64)  # the first call compiles
    before = resource.getrlimit(resource.RLIMIT_AS)
    held_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held_bytes + SPARE_BYTES, before[1]))
    try:
        dealt = deal(length_B, ranks=8, micro_batch=64)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert sum(len(part) for parts in dealt for part in parts) == 20_000
