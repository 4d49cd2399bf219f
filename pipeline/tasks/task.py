"""What a fine-tuning task is: where its rows are found, how they read, which labels they have."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "dev", "test"]

UNKNOWN = -1
"""The label of a row whose answer is not published."""


@dataclass(frozen=True)
class Row:
    """One labelled text or pair of texts."""

    first: str
    second: str  # empty where the task has single texts
    label: int  # index into the task's labels, or UNKNOWN


@dataclass(frozen=True)
class Task:
    """Classification of a text or a pair.

    `find` says which file holds which split (train is always there) and raises ConfigError if it finds none;
    `read` streams the rows of one file and raises DataError naming the line that is malformed.
    """

    summary: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]  # names in METRICS; the first is the one that is reported
    find: Callable[[Path], dict[Split, Path]]
    read: Callable[[Path], Iterator[Row]]
