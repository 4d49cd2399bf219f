"""The curve as people look at it: a picture, and a line of text. Equal curves give equal pictures."""

import math
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

LEVELS = "▁▂▃▄▅▆▇█"
COLUMNS = 40
DOTS_AN_INCH = 100


def draw(curve: Path, picture: Path, title: str) -> None:
    """Draw the losses of a curve.parquet over its steps, held-out ones as dots, and the learning rate below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = pq.read_table(curve).to_pydict()
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    for name in (name for name in columns if name.endswith("loss")):
        steps, values = _known(columns["step"], columns[name])
        sparse = name.startswith("held_out")
        above.plot(steps, values, "o-" if sparse else "-", label=name, linewidth=1, markersize=3)
    below.plot(columns["step"], columns["learning_rate"], linewidth=1)
    above.set(title=title, ylabel="nats")
    above.legend(frameon=False, fontsize=8)
    below.set(xlabel="step", ylabel="learning rate")
    figure.savefig(picture, dpi=DOTS_AN_INCH, metadata={"Software": None})


def spark(curve: Path, name: str = "loss") -> str:
    """Draw one column of a curve.parquet in one line of text, its first and last value beside it."""
    values = _known(*(pq.read_table(curve, columns=["step", name]).to_pydict()[each] for each in ("step", name)))[1]
    return f"{values[0]:.3f} {bars(values)} {values[-1]:.3f}"


def bars(values: Sequence[float], columns: int = COLUMNS) -> str:
    """Draw values as a row of at most `columns` bars, each the mean of those it stands for."""
    width = min(columns, len(values))
    means = [_mean(values[at * len(values) // width : (at + 1) * len(values) // width]) for at in range(width)]
    low, high = min(means), max(means)
    scale = (len(LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(LEVELS[round((value - low) * scale)] for value in means)


def _known(steps: Sequence[int], values: Sequence[float | None]) -> tuple[list[int], list[float]]:
    """Leave out steps without a value: held-out losses come now and then."""
    pairs = [
        (step, value) for step, value in zip(steps, values, strict=True) if value is not None and math.isfinite(value)
    ]
    return [step for step, _ in pairs], [value for _, value in pairs]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
