"""Loss curves as SVG: one chart an objective, training and held-out, from a curve.parquet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.markup import Markup, element
from flows.units import number
from pipeline.core.store import Artifact

CURVE = "curve.parquet"
PLACE = ("step", "phase")
POINTS = 240
"""How many points of a curve are drawn: each is the mean of the steps that it stands for, its band their range."""
WIDE, HIGH = 420.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 20.0, 12.0, 40.0
TICKS = 5
LEAST_SPAN = 1e-6
"""Values that differ by less of themselves than this are drawn as one."""


@dataclass(frozen=True)
class Point:
    """Some steps of a curve: the last of them, and the mean, least and greatest of their values."""

    step: float
    mean: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Curves:
    """What is drawn in one chart: a loss while training, and now and then on held-out rows."""

    name: str
    training: tuple[Point, ...]
    held_out: tuple[Point, ...]
    phases: tuple[tuple[float, int], ...]
    """The step before each later phase, and the number of that phase."""


def curves_of(artifact: Artifact) -> list[Curves]:
    """Read the losses of a model's curve, one objective after the other; none where it has no curve that can be read."""
    table = _read(artifact)
    if table is None:
        return []
    step = _column(table, "step")
    turns = np.flatnonzero(np.diff(_column(table, "phase")))
    phases = tuple((float(step[at]), int(table["phase"][int(at) + 1].as_py()) + 1) for at in turns)
    return [
        Curves(name.removesuffix("_loss"), _points(table, name), _points(table, f"held_out_{name}"), phases)
        for name in table.column_names
        if name.endswith("_loss") and not name.startswith("held_out_")
    ]


def chart(curves: Curves, unigram_entropy: float | None) -> Markup:
    """Draw the curves of one objective over the steps; a dashed line is what a model without context can reach."""
    values = [value for point in curves.training for value in (point.least, point.greatest)]
    values += [point.mean for point in curves.held_out] + ([unigram_entropy] if unigram_entropy else [])
    low, high = _range(values)
    last = max((point.step for point in (*curves.training, *curves.held_out)), default=0.0) or 1.0
    frame = _Frame(last, low, high)
    dots = [
        element("circle", element("title", f"step {number(point.step)}: {point.mean:.4f}"), r=3, **frame.dot(point))
        for point in curves.held_out
    ]
    return element(
        "svg",
        element("title", f"{curves.name} loss in nats over the steps, training and held-out"),
        *_axes(frame),
        *_phases(frame, curves.phases),
        *([_level(frame, unigram_entropy)] if unigram_entropy else []),
        element("path", d=frame.band(curves.training), class_="band"),
        element("path", d=frame.path(curves.training), class_="training"),
        element("path", d=frame.path(curves.held_out), class_="held-out"),
        element("g", *dots, class_="dots"),
        viewBox=f"0 0 {WIDE:.0f} {HIGH:.0f}",
        class_="chart",
        role="img",
    )


@dataclass(frozen=True)
class _Frame:
    """Where steps and losses are in the picture."""

    last: float
    low: float
    high: float

    def x(self, step: float) -> float:
        return LEFT + (WIDE - LEFT - RIGHT) * step / self.last

    def y(self, value: float) -> float:
        return TOP + (HIGH - TOP - BOTTOM) * (self.high - value) / (self.high - self.low)

    def dot(self, point: Point) -> dict[str, str]:
        return {"cx": f"{self.x(point.step):.1f}", "cy": f"{self.y(point.mean):.1f}"}

    def path(self, points: Sequence[Point]) -> str:
        return self._line([(point.step, point.mean) for point in points])

    def band(self, points: Sequence[Point]) -> str:
        there = [(point.step, point.greatest) for point in points]
        back = [(point.step, point.least) for point in reversed(points)]
        return self._line([*there, *back]) + ("Z" if points else "")

    def _line(self, points: Sequence[tuple[float, float]]) -> str:
        return "".join(
            f"{'L' if at else 'M'}{self.x(step):.1f} {self.y(value):.1f}" for at, (step, value) in enumerate(points)
        )


def _read(artifact: Artifact) -> pa.Table | None:
    """Read the steps, phases and losses of a curve; None where there is no such file, or another one in its place."""
    if not any(entry["name"] == CURVE for entry in artifact.manifest["files"]):
        return None
    try:
        with pq.ParquetFile(artifact.file(CURVE)) as file:
            names = [name for name in file.schema_arrow.names if name in PLACE or name.endswith("_loss")]
            return file.read(names) if set(names).issuperset(PLACE) else None
    except (OSError, pa.ArrowException):
        return None


def _column(table: pa.Table, name: str) -> Any:
    return table[name].to_numpy().astype(np.float64)


def _points(table: pa.Table, name: str) -> tuple[Point, ...]:
    """Take the known values of a column, many steps as one point where there are many."""
    if name not in table.column_names:
        return ()
    step, value = _column(table, "step"), _column(table, name)
    known = np.isfinite(value)
    step, value = step[known], value[known]
    if not len(value):
        return ()
    parts = min(POINTS, len(value))
    return tuple(
        Point(float(steps[-1]), float(values.mean()), float(values.min()), float(values.max()))
        for steps, values in zip(np.array_split(step, parts), np.array_split(value, parts), strict=True)
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Give round borders around values."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    step = _round_step(high - low if high - low > LEAST_SPAN * abs(high) else 1.0)
    return math.floor(low / step) * step, max(math.ceil(high / step), math.floor(low / step) + 1) * step


def _round_step(span: float) -> float:
    """Give 1, 2 or 5 times a power of ten, of which a few make the span."""
    power = 10.0 ** math.floor(math.log10(span / TICKS))
    return next(power * factor for factor in (1, 2, 5, 10) if span / TICKS <= power * factor)


def _axes(frame: _Frame) -> list[Markup]:
    bottom, right = HIGH - BOTTOM, WIDE - RIGHT
    marks: list[Markup] = []
    for value in _ticks(frame.low, frame.high):
        y = f"{frame.y(value):.1f}"
        marks.append(element("path", d=f"M{LEFT} {y}H{right}", class_="grid"))
        marks.append(element("text", f"{value:.6g}", x=LEFT - 6, y=y, class_="tick left"))
    for value in _ticks(0.0, frame.last):
        x = f"{frame.x(value):.1f}"
        marks.append(element("path", d=f"M{x} {bottom}v4", class_="axis"))
        marks.append(element("text", number(value), x=x, y=bottom + 16, class_="tick"))
    marks.append(element("path", d=f"M{LEFT} {TOP}V{bottom}H{right}", class_="axis"))
    marks.append(element("text", "step", x=(LEFT + right) / 2, y=HIGH - 6, class_="tick"))
    marks.append(element("text", "nats", x=12, y=(TOP + bottom) / 2, class_="tick turned"))
    return marks


def _ticks(low: float, high: float) -> list[float]:
    step = _round_step(high - low)
    return [round(at * step, 10) for at in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _phases(frame: _Frame, phases: Sequence[tuple[float, int]]) -> list[Markup]:
    marks: list[Markup] = []
    for step, phase in phases:
        x = f"{frame.x(step):.1f}"
        marks.append(element("path", d=f"M{x} {TOP}V{HIGH - BOTTOM}", class_="phase"))
        marks.append(element("text", f"phase {phase}", x=frame.x(step) - 4, y=TOP + 10, class_="tick left"))
    return marks


def _level(frame: _Frame, value: float) -> Markup:
    y = f"{frame.y(value):.1f}"
    about = element("title", f"unigram entropy of the corpus: {value:.3f} nats")
    return element("path", about, d=f"M{LEFT} {y}H{WIDE - RIGHT}", class_="level")
