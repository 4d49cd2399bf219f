"""The pictures of reports: a confusion matrix, bars of errors, predictions over answers. Equal numbers give equal bytes."""

from pathlib import Path
from typing import Any

from pipeline.tasks.task import Picture

DOTS_AN_INCH = 100
MOST_NUMBERS = 400
"""Cells of a grid into which their numbers are written."""


def draw(picture: Picture, path: Path) -> None:
    """Write a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    {"grid": _grid, "bars": _bars, "points": _points}[picture.kind](axes, picture)
    axes.set_title(picture.title)
    figure.savefig(path, dpi=DOTS_AN_INCH, metadata={"Software": None})


def _grid(axes: Any, picture: Picture) -> None:
    axes.imshow(picture.values, cmap="Blues")
    axes.set_xticks(range(len(picture.across)), picture.across, rotation=45, ha="right")
    axes.set_yticks(range(len(picture.down)), picture.down)
    most = max(max(row) for row in picture.values)
    if len(picture.down) * len(picture.across) > MOST_NUMBERS:
        return
    for down, row in enumerate(picture.values):
        for across, value in enumerate(row):
            colour = "white" if value > most / 2 else "black"
            axes.text(across, down, f"{value:g}", ha="center", va="center", color=colour, fontsize=8)


def _bars(axes: Any, picture: Picture) -> None:
    (values,) = picture.values
    axes.bar(picture.across, values)
    for at, value in enumerate(values):
        axes.text(at, value, f"{value:g}", ha="center", va="bottom", fontsize=8)


def _points(axes: Any, picture: Picture) -> None:
    axes.plot(*zip(*picture.values, strict=True), "o", markersize=2, alpha=0.5)
    axes.set(xlabel="answer", ylabel="prediction")
