"""The pictures of reports: a confusion matrix, bars of errors, predictions over answers. Equal numbers give equal bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.tasks.task import Picture

DOTS_AN_INCH = 100
WIDTH_INCHES, HEIGHT_INCHES = 7.0, 5.5
"""Of most pictures: MLflow's page shows 700 points without making them smaller."""
CELL_INCHES = 0.28
"""A grid of many classes grows, so that their names stay apart."""
MOST_INCHES = 20.0
NAME_LETTERS = 24
MOST_NUMBERS = 400
"""Cells of a grid into which their numbers are written."""
DARK = 0.5
"""The share of its row from which on a cell is dark, and its number light."""


def draw(picture: Picture, path: Path, task: str) -> None:
    """Write a PNG about the development rows of a task."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    grown = min(MOST_INCHES, 3.0 + CELL_INCHES * len(picture.down))
    figure = Figure(figsize=(max(WIDTH_INCHES, grown), max(HEIGHT_INCHES, grown)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    {"grid": _grid, "bars": _bars, "points": _points}[picture.kind](axes, picture)
    axes.set_title(f"{task}: {_total(picture):,.0f} {picture.counted} of the development set")
    figure.savefig(path, dpi=DOTS_AN_INCH, metadata={"Software": None})


def _total(picture: Picture) -> float:
    return len(picture.values) if picture.kind == "points" else sum(map(sum, picture.values))


def _grid(axes: Any, picture: Picture) -> None:
    """Colour each cell by its share of its row: a class that has most of the rows hides no other."""
    totals = [sum(row) or 1.0 for row in picture.values]
    shares = [[value / total for value in row] for row, total in zip(picture.values, totals, strict=True)]
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set(xlabel="prediction", ylabel=picture.side)
    axes.set_xticks(range(len(picture.across)), _names(picture.across), rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(picture.down)), _names(picture.down))
    if len(picture.down) * len(picture.across) > MOST_NUMBERS:
        return
    for down, row in enumerate(picture.values):
        for across, value in enumerate(row):
            colour = "white" if shares[down][across] > DARK else "black"
            axes.text(across, down, f"{value:,.0f}", ha="center", va="center", color=colour, fontsize=9)


def _names(names: Sequence[str]) -> list[str]:
    """Cut names that would leave no room for the grid."""
    return [name if len(name) <= NAME_LETTERS else f"{name[: NAME_LETTERS - 1]}…" for name in names]


def _bars(axes: Any, picture: Picture) -> None:
    (values,) = picture.values
    whole = sum(values) or 1.0
    bars = axes.barh(picture.across, values)
    axes.bar_label(bars, [f"{value:,.0f} ({value / whole:.0%})" for value in values], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.25)  # the longest bar's label has to fit
    axes.set(xlabel=picture.counted, ylabel=picture.side)


def _points(axes: Any, picture: Picture) -> None:
    """Draw each answer with its prediction, and the line where both are equal."""
    ends = min(map(min, picture.values)), max(map(max, picture.values))
    axes.plot(ends, ends, color="grey", linewidth=1)
    axes.plot(*zip(*picture.values, strict=True), "o", markersize=3, alpha=0.5)
    axes.set(xlabel=picture.side, ylabel="prediction")
