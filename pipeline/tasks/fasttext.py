"""Labelled lines as fastText reads them: `__label__pos a warm , funny film`, one file, no splits."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pipeline.core.errors import ConfigError, DataError
from pipeline.tasks.lines import numbered
from pipeline.tasks.rows import Labelled
from pipeline.tasks.task import Split, Task

MARK = "__label__"
LEGACY = "cp1252"
"""The reviews of Pang and Lee 2005 hold dashes and accents in it, and circulate so."""


def labelled_lines(question: str, labels: tuple[str, ...]) -> Task:
    """Describe a task whose rows are lines that begin with their label."""
    read = partial(read_lines, labels=labels)
    return Task(question, "classify", ("accuracy",), find_file, read, labels, answers_in="the begin of the line")


def find_file(path: Path) -> dict[Split, Path]:
    """Take the one file as the training set.

    Raises: ConfigError if it is not there.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; expected one with lines such as {MARK}pos a warm , funny film")
    return {"train": path}


def read_lines(path: Path, *, labels: Sequence[str]) -> Iterator[Labelled]:
    """Stream the rows of a file; empty lines are passed over.

    Raises: DataError for a line without a label, or with one that the task does not have, or a file without rows.
    """
    count = 0
    for number, line in numbered(path, legacy=LEGACY):
        mark, _, text = line.strip().partition(" ")
        if not mark:
            continue
        label = mark.removeprefix(MARK)
        if mark == label or label not in labels:
            expected = " or ".join(MARK + name for name in labels)
            raise DataError(f"{path}: line {number} begins with {mark[:40]!r}; expected {expected}")
        yield Labelled(text.strip(), "", label, number)
        count += 1
    if not count:
        raise DataError(f"{path}: holds empty lines only; expected lines such as {MARK}pos a warm , funny film")
