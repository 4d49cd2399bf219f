"""Whatever the cuts, a parameter's pieces are found, added up and put together again."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.training.layout import EXCHANGED, Flat, Layout, Piece
from pipeline.training.ranks import Ranks
from pipeline.training.zero import _cut_piece

ALONE = Ranks(0, 1, torch.device("cpu"))


@settings(deadline=None)
@given(some.lists(some.integers(1, 9), min_size=1, max_size=6), some.integers(1, 4))
def test_the_parts_of_a_group_on_all_ranks_make_up_every_parameter_once(sizes: list[int], ranks: int) -> None:
    begins = [sum(sizes[:at]) for at in range(len(sizes))]
    part = -(-sum(sizes) // ranks)
    covered: list[tuple[int, int]] = []
    for rank in range(ranks):
        flat = torch.zeros(part)
        for number, (begin, size) in enumerate(zip(begins, sizes, strict=True)):
            parameter = torch.nn.Parameter(torch.zeros(size))
            piece = _cut_piece(number, parameter, begin - rank * part, flat)
            assert piece.at + piece.length <= part
            covered += [(number, piece.begin + at) for at in range(piece.length)]
            assert not piece.length or begin + piece.begin == rank * part + piece.at
    assert covered == [(number, at) for number, size in enumerate(sizes) for at in range(size)]


def _two_in_one() -> tuple[Layout, Flat]:
    """A 2x3 matrix and a vector of 4 in one flat tensor, padded."""
    flat = Flat(torch.arange(12.0), 0, (Piece(0, 0, 0, 6), Piece(1, 0, 6, 4)))
    return Layout({"matrix": torch.Size([2, 3]), "vector": torch.Size([4])}, [flat], ALONE, spread=True), flat


def test_values_are_added_up_a_parameter() -> None:
    layout, flat = _two_in_one()
    assert layout.sums([(flat, flat.tensor)]).tolist() == [15.0, 30.0]
    assert layout.sizes_P.tolist() == [6.0, 4.0]


def test_what_was_gathered_can_be_scattered_and_is_a_copy() -> None:
    layout, flat = _two_in_one()
    full = layout.gather("weights", [(flat, flat.tensor)])
    assert full is not None
    assert full["matrix"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    flat.tensor.zero_()
    assert full["vector"].tolist() == [6.0, 7.0, 8.0, 9.0]
    layout.scatter(full, [(flat, flat.tensor)])
    assert flat.tensor.tolist() == [*map(float, range(10)), 0.0, 0.0]


def test_parameters_are_exchanged_in_runs_of_bounded_size() -> None:
    big = torch.Size([EXCHANGED // 2])
    layout = Layout({str(at): big for at in range(5)}, [], ALONE, spread=False)
    assert list(layout.batches(range(5))) == [[0, 1], [2, 3], [4]]
