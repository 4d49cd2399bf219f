"""Which file of a folder holds which split, told by its name; which rows are held back where there is no such file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError
from pipeline.tasks.rows import Question
from pipeline.tasks.task import Row, Split

if TYPE_CHECKING:
    from numpy.random import Generator

Names = Mapping[Split, Sequence[str]]
"""Patterns of file names by split, the first that finds a file counts."""


def find_splits(path: Path, names: Names, layout: str) -> dict[Split, Path]:
    """Find the splits of a task in its folder; a single file is the training set. A plain file goes before its .gz copy.

    Raises: ConfigError if there is no training set, or more than one file that could be a split.
    """
    if path.is_file():
        return {"train": path}
    found = {split: file for split, patterns in names.items() if (file := _first(path, patterns)) is not None}
    if "train" not in found:
        raise ConfigError(
            f"{path}: holds no {names['train'][0]}; expected {layout}: a folder with its splits, or one file to train on"
        )
    return found


def hold_back(rows: Sequence[Row], fraction: float, rng: "Generator") -> tuple[list[Row], list[Row]]:
    """Draw rows to keep out of the training set; return those that stay in it and those that are kept out.

    Questions about one context stay together: a model that has read it in training would know it.
    """
    places: dict[object, int] = {}
    group_of = [
        places.setdefault(row.context if isinstance(row, Question) else at, len(places)) for at, row in enumerate(rows)
    ]
    out = rng.random(len(places)) < fraction
    kept = [row for row, group in zip(rows, group_of, strict=True) if not out[group]]
    return kept, [row for row, group in zip(rows, group_of, strict=True) if out[group]]


def _first(folder: Path, patterns: Sequence[str]) -> Path | None:
    for pattern in patterns:
        there = {file for glob in (pattern, f"{pattern}.gz") for file in folder.glob(glob) if file.is_file()}
        files = sorted(file for file in there if file.suffix != ".gz" or file.with_suffix("") not in there)
        if len(files) > 1:
            listed = ", ".join(file.name for file in files)
            raise ConfigError(f"{folder}: {listed} could all be {pattern}; leave one of them, or name one file")
        if files:
            return files[0]
    return None
