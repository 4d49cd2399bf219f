"""A drawing of a graph without circles: nodes in layers, from what is used above to what is made of it below.

Source: Sugiyama, Tagawa and Toda 1981, Methods for visual understanding of hierarchical system structures. Lines that pass a
layer get a place in it, one for all lines from the same node, so that they run between the boxes and not through them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

SWEEPS = 8


class Passing(NamedTuple):
    """The place at which lines from a node pass a layer."""

    source: str
    layer: int


Spot = str | Passing


@dataclass(frozen=True)
class Layout:
    """Where nodes are: the middle of each, and its layer, and the spots that each line goes through."""

    x: Mapping[Spot, float]
    layer: Mapping[Spot, int]
    routes: Mapping[tuple[str, str], tuple[Spot, ...]]
    width: float

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return 1 + max(self.layer.values(), default=-1)


def lay_out(nodes: Sequence[str], edges: Sequence[tuple[str, str]], *, node: float, line: float, gap: float) -> Layout:
    """Lay out nodes, each named once, and lines from what is used to what is made of it.

    `node` and `line` are the widths of a box and of the room for a line that passes; `gap` is between them.
    """
    layer: dict[Spot, int] = dict(_layers(nodes, edges).items())
    routes = {(start, end): _route(start, end, layer) for start, end in edges}
    for route in routes.values():
        layer |= {spot: spot.layer for spot in route if isinstance(spot, Passing)}
    links = list(dict.fromkeys((one, other) for route in routes.values() for one, other in pairwise(route)))
    rows = _ordered(layer, links)
    width = {spot: node if isinstance(spot, str) else line for spot in layer}
    x = _places(rows, links, {spot: size + gap for spot, size in width.items()})
    left = min((x[spot] - width[spot] / 2 for spot in x), default=0.0)
    right = max((x[spot] + width[spot] / 2 for spot in x), default=0.0)
    return Layout({spot: at - left for spot, at in x.items()}, layer, routes, right - left)


def _layers(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Put each node below all that it is made of, and what is made of nothing right above its first use."""
    used = {name: [start for start, end in edges if end == name] for name in nodes}
    found: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in found:
            found[name] = 1 + max((depth(above) for above in used[name]), default=-1)
        return found[name]

    for name in nodes:
        depth(name)
    for name in nodes:
        below = [found[end] for start, end in edges if start == name]
        if not used[name] and below:
            found[name] = min(below) - 1
    return found


def _route(start: str, end: str, layer: Mapping[Spot, int]) -> tuple[Spot, ...]:
    return (start, *(Passing(start, between) for between in range(layer[start] + 1, layer[end])), end)


def _ordered(layer: Mapping[Spot, int], links: Sequence[tuple[Spot, Spot]]) -> list[list[Spot]]:
    """Order each layer by where the neighbours of its spots are, downwards and upwards by turns: few lines cross."""
    rows: list[list[Spot]] = [[] for _ in range(1 + max(layer.values(), default=-1))]
    for spot, at in layer.items():
        rows[at].append(spot)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for at in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            place = {spot: number for number, spot in enumerate(rows[at - 1 if down else at + 1])}
            rows[at].sort(key=lambda spot: _mean([place[near] for near in _near(spot, links) if near in place], 0.0))
    return rows


def _places(
    rows: Sequence[Sequence[Spot]], links: Sequence[tuple[Spot, Spot]], room: Mapping[Spot, float]
) -> dict[Spot, float]:
    """Move each layer to where its neighbours are, as far as its order and the room of its spots allow."""
    x = {spot: at * max(room.values()) for row in rows for at, spot in enumerate(row)}
    for _ in range(SWEEPS):
        for row in [*rows, *reversed(rows)]:
            wanted = [_mean([x[near] for near in _near(spot, links)], x[spot]) for spot in row]
            x |= zip(row, _apart(wanted, [room[spot] for spot in row]), strict=True)
    return x


def _apart(wanted: Sequence[float], room: Sequence[float]) -> list[float]:
    """Give the places nearest to those wanted, in order and none closer than their rooms allow.

    Source: Barlow et al. 1972, isotonic regression by pooling adjacent violators.
    """
    starts = [0.0]
    for left, right in pairwise(room):
        starts.append(starts[-1] + (left + right) / 2)
    pools: list[tuple[float, int]] = []
    for want, start in zip(wanted, starts, strict=True):
        pools.append((want - start, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (late, many), (soon, more) = pools.pop(), pools.pop()
            pools.append(((late * many + soon * more) / (many + more), many + more))
    shifts = [value for value, count in pools for _ in range(count)]
    return [start + shift for start, shift in zip(starts, shifts, strict=True)]


def _near(spot: Spot, links: Sequence[tuple[Spot, Spot]]) -> list[Spot]:
    return [other for pair in links for other, one in (pair, pair[::-1]) if one == spot]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
