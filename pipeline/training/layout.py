"""Where parameters lie in the flat tensors that this rank updates, and what is done a parameter at a time in them.

At ZeRO stage 0 a flat tensor is one parameter, whole; at stages 1 and 2 it is this rank's part of all parameters of a
group, one behind another; at stage 3 it holds this rank's part of each of them. Letter: P parameters.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from pipeline.training.ranks import Ranks

EXCHANGED = 1 << 26
"""Elements that ranks exchange at a time: 256 MB."""


@dataclass(frozen=True)
class Piece:
    """A stretch of one parameter in a flat tensor; empty where this rank has nothing of it there."""

    parameter: int
    begin: int  # in the parameter
    at: int  # in the flat tensor
    length: int


@dataclass(frozen=True, eq=False)
class Flat:
    """A tensor that this rank updates, and what of which parameters is in it."""

    tensor: Tensor
    group: int  # of the optimizer's groups
    pieces: tuple[Piece, ...]  # the same parameters on every rank

    def cut(self, values: Tensor) -> Iterator[tuple[Piece, Tensor]]:
        """Yield the stretches of a tensor like this one that belong to a parameter."""
        line = values.detach().view(-1)
        for piece in self.pieces:
            if piece.length:
                yield piece, line[piece.at : piece.at + piece.length]


Values = Sequence[tuple[Flat, Tensor]]
"""Flat tensors with values like theirs: weights, gradients, moments."""


class Layout:
    """All flat tensors of this rank."""

    def __init__(self, shapes: Mapping[str, torch.Size], flats: list[Flat], ranks: Ranks, *, spread: bool) -> None:
        """`spread` says that other ranks have what this one has not."""
        self.names, self.shapes, self.flats = list(shapes), list(shapes.values()), flats
        self._ranks, self._spread = ranks, spread and ranks.count > 1
        self._of = {id(flat.tensor): flat for flat in flats}
        self._copies: dict[str, dict[str, Tensor]] = {}
        self._split = self._find_split() if self._spread else frozenset()

    def flat(self, tensor: Tensor) -> Flat:
        """Tell what lies in one of the tensors that the optimizer updates."""
        return self._of[id(tensor)]

    @property
    def sizes_P(self) -> Tensor:
        """The number of elements of each parameter."""
        sizes = [shape.numel() for shape in self.shapes]
        return torch.tensor(sizes, dtype=torch.float64, device=self._ranks.device)

    def sums(self, values: Values) -> Tensor:
        """Add up values, parameter by parameter and over all ranks, in double precision: sums_P."""
        sums_P = torch.zeros(len(self.names), dtype=torch.float64, device=self._ranks.device)
        for flat, value in values:
            for piece, part in flat.cut(value):
                sums_P[piece.parameter] += part.sum(dtype=torch.float64)
        if self._spread:
            dist.all_reduce(sums_P)
        return sums_P

    def split(self, flat: Flat) -> list[int]:
        """List the parameters of a flat tensor that lie on several ranks; the same list on every rank."""
        return [piece.parameter for piece in flat.pieces if piece.parameter in self._split]

    def exchange(self, numbers: Sequence[int], values: Values) -> list[Tensor]:
        """Put parameters together from the pieces on all ranks; every rank gets them, on its device."""
        line = self._line(numbers, values)
        dist.all_reduce(line)
        return list(self._parts(numbers, line))

    def gather(self, kind: str, values: Values) -> dict[str, Tensor] | None:
        """Collect full tensors by name, in host memory on rank 0 (None elsewhere); every rank must call it.

        They are overwritten when the same `kind` is gathered again: fresh memory is dear.
        """
        numbers = sorted({piece.parameter for flat, _ in values for piece in flat.pieces})
        if self._ranks.rank == 0 and kind not in self._copies:
            self._copies[kind] = {self.names[n]: torch.zeros(self.shapes[n]) for n in numbers}
        copies = self._copies.get(kind)
        if self._spread:
            self._gather_spread(numbers, values, copies)
        elif copies is not None:
            for flat, value in values:
                for piece, part in flat.cut(value):
                    _stretch(copies[self.names[piece.parameter]], piece).copy_(part)
        return copies

    def _gather_spread(self, numbers: list[int], values: Values, copies: dict[str, Tensor] | None) -> None:
        for batch in self.batches(numbers):
            line = self._line(batch, values)
            dist.reduce(line, dst=0)
            if copies is not None:
                for number, full in zip(batch, self._parts(batch, line), strict=True):
                    copies[self.names[number]].copy_(full)

    def scatter(self, tensors: Mapping[str, Tensor] | None, values: Values) -> None:
        """Put rank 0's full tensors (None elsewhere) into the flat tensors' values; every rank must call it."""
        numbers = sorted({piece.parameter for flat, _ in values for piece in flat.pieces})
        for batch in self.batches(numbers):
            line = torch.zeros(sum(self.shapes[n].numel() for n in batch), device=self._ranks.device)
            if tensors is not None:
                for number, full in zip(batch, self._parts(batch, line), strict=True):
                    full.copy_(tensors[self.names[number]])
            if self._ranks.count > 1:
                dist.broadcast(line, src=0)
            fulls = dict(zip(batch, self._parts(batch, line), strict=True))
            for flat, value in values:
                for piece, part in flat.cut(value):
                    if piece.parameter in fulls:
                        part.copy_(_stretch(fulls[piece.parameter], piece))

    def batches(self, numbers: Iterable[int]) -> Iterator[list[int]]:
        """Yield parameters in runs that are small enough to be exchanged at once."""
        run: list[int] = []
        size = 0
        for number in numbers:
            size += self.shapes[number].numel()
            if run and size > EXCHANGED:
                yield run
                run, size = [], self.shapes[number].numel()
            run.append(number)
        if run:
            yield run

    def _find_split(self) -> frozenset[int]:
        torn_P = torch.zeros(len(self.names), device=self._ranks.device)
        for piece in (piece for flat in self.flats for piece in flat.pieces):
            torn_P[piece.parameter] += 0 < piece.length < self.shapes[piece.parameter].numel()
        dist.all_reduce(torn_P)
        return frozenset(torn_P.nonzero().flatten().tolist())

    def _line(self, numbers: Sequence[int], values: Values) -> Tensor:
        """Lay what this rank has of some parameters one behind another, zeros where it has nothing."""
        line = torch.zeros(sum(self.shapes[n].numel() for n in numbers), device=self._ranks.device)
        fulls = dict(zip(numbers, self._parts(numbers, line), strict=True))
        for flat, value in values:
            for piece, part in flat.cut(value):
                if piece.parameter in fulls:
                    _stretch(fulls[piece.parameter], piece).copy_(part)
        return line

    def _parts(self, numbers: Sequence[int], line: Tensor) -> Iterator[Tensor]:
        end = 0
        for number in numbers:
            begin, end = end, end + self.shapes[number].numel()
            yield line[begin:end].view(self.shapes[number])


def _stretch(full: Tensor, piece: Piece) -> Tensor:
    return full.view(-1)[piece.begin : piece.begin + piece.length]
