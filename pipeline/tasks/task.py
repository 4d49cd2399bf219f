"""What a fine-tuning task is: where its rows are found, how they read, what a model sees of them, how it is judged.

A stage goes through it from left to right:

    files -> read -> answers (what labels there are) -> kinds.encode -> [training predicts] -> kinds.report
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

Split = Literal["train", "dev", "dev_mismatched", "test", "test_mismatched"]
"""`mismatched` are the rows of MNLI from genres that its training set has not."""
Kind = Literal["classify", "regress", "choose", "span", "tag"]
"""What is predicted: a class or a number of a text, one of several texts, a piece of a text, a tag of every word."""

UNKNOWN = -1
"""The label of a row whose answer is not published."""
MISTAKES = 20
"""How many of the most confident mistakes a report lists."""


class Row(Protocol):
    """What rows of all kinds have; rows.py says what else."""

    @property
    def answer(self) -> object | None:
        """What is to be predicted, as the file writes it; None where it is not published."""

    @property
    def line(self) -> int:
        """The line of the file, from 1, that a message can name; 0 where a file has none."""


@dataclass(frozen=True)
class Limits:
    """How long sequences are, and how long texts are cut."""

    sequence_length: int
    window_stride: int = 128  # for `span`: how many tokens further the next window of a long context begins
    max_answer_tokens: int = 30  # for `span`: the longest answer that is looked for


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns."""

    text: str = "text"
    second: str = ""  # empty where the task has single texts
    label: str = "label"


@dataclass(frozen=True)
class Picture:
    """Numbers to draw: `grid` is a matrix of counts, `bars` one row of them, `points` is [expected, predicted] of each row."""

    kind: Literal["grid", "bars", "points"]
    counted: str  # what its numbers are of
    side: str  # what goes down a grid, across points, and into bars; the other way go predictions
    down: tuple[str, ...]  # names of the rows of `values`
    across: tuple[str, ...]  # names of its columns; empty for points
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Outcome:
    """A split as a model saw it: rows, their encoded table, what was predicted for each row of it, names of the labels."""

    rows: Sequence[Any]
    encoded: "pa.Table"  # see `tables.encoded_schema`
    predicted: "pa.Table"  # see `tables.predicted_schema`
    labels: tuple[str, ...]
    limits: Limits
    tuned: Mapping[str, float] | None = None  # what the report of dev has found best; None to find it


@dataclass(frozen=True)
class Report:
    """How right a model is about the rows of a split; no scores where the answers are not published."""

    scores: dict[str, float]
    table: "pa.Table"  # one row a row of the split, with its texts
    mistakes: "pa.Table"  # rows of it, the most confident first
    picture: Picture | None
    tuned: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One kind of question about texts, and where its rows are.

    `files` says which file holds which split (train is always there) and raises ConfigError if it finds none;
    `read` streams the rows of one file and raises DataError naming the line that is malformed.
    """

    question: str
    kind: Kind
    metrics: tuple[str, ...]  # names of scores; by the first, models are compared
    files: Callable[[Path], dict[Split, Path]]
    read: Callable[[Path], Iterator[Row]]
    labels: tuple[str, ...] = ()  # empty where they are taken from the data, and where there are none
    choices: int = 1  # for `choose`: texts a question
    answers_in: str = "the column label"  # for messages
    named: Callable[[Path, Columns], Iterator[Row]] | None = None  # reads a table whose columns the user names

    def with_columns(self, columns: Columns) -> "Task":
        """Give the same task over other columns; a task that knows its columns stays what it is."""
        named = self.named
        if named is None:
            return self
        return replace(self, read=lambda path: named(path, columns), answers_in=f"the column {columns.label}")
