"""The official GLUE layout: a folder with train.tsv, dev.tsv and test.tsv (.gz as well), a header line, no quoting.

Source: Wang et al. 2019. The tables hold unbalanced quotation marks, so quotes are ordinary characters.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pipeline.tasks.rows import Labelled, Scored
from pipeline.tasks.separated import Cells, Record, as_number, one_of, peek, tabbed, under, with_header
from pipeline.tasks.splits import Names, find_splits
from pipeline.tasks.task import Task

LAYOUT = "a task's folder in the GLUE layout"
SPLITS: Names = {"train": ("train.tsv",), "dev": ("dev.tsv",), "test": ("test.tsv",)}
MATCHED: Names = {
    "train": ("train.tsv",),
    "dev": ("dev_matched.tsv",),
    "dev_mismatched": ("dev_mismatched.tsv",),
    "test": ("test_matched.tsv",),
    "test_mismatched": ("test_mismatched.tsv",),
}
"""MultiNLI asks about genres that training has seen, and about others."""
COLA = ("source", "label", "mark", "sentence")
"""The columns of CoLA's training and development sets, which have no header; its test set has one."""

Texts = Sequence[str]


def glue(
    question: str,
    texts: Texts,
    labels: tuple[str, ...],
    metrics: tuple[str, ...] = ("accuracy",),
    *,
    label_column: str = "label",
    names: Names = SPLITS,
    cells: Callable[[Path], Cells] = tabbed,
) -> Task:
    """Describe a GLUE classification task by its columns and labels."""
    read = partial(read_labelled, texts=texts, label_column=label_column, labels=labels, cells=cells)
    files = partial(find_splits, names=names, layout=LAYOUT)
    return Task(question, "classify", metrics, files, read, labels, answers_in=f"the column {label_column}")


def glue_scores(question: str, texts: Texts) -> Task:
    """Describe a GLUE regression task by its columns; the numbers are in the column score."""
    files = partial(find_splits, names=SPLITS, layout=LAYOUT)
    read = partial(read_scored, texts=texts)
    return Task(question, "regress", ("spearman", "pearson"), files, read, answers_in="the column score")


def cola() -> Task:
    """Describe the Corpus of Linguistic Acceptability."""
    labels = ("0", "1")
    files, read = partial(find_splits, names=SPLITS, layout=LAYOUT), partial(read_cola, labels=labels)
    question = "is a sentence acceptable English?"
    return Task(question, "classify", ("matthews", "accuracy"), files, read, labels, answers_in="the second column")


def read_labelled(
    path: Path, *, texts: Texts, label_column: str, labels: Sequence[str], cells: Callable[[Path], Cells] = tabbed
) -> Iterator[Labelled]:
    """Stream the rows of a table; a table without the label column is an unlabelled test set.

    Raises: DataError for a missing column, a row of another width, an unknown label, or a table without rows.
    """
    for number, record in with_header(cells(path), path, texts, label_column):
        yield _labelled(path, number, record, texts, label_column, labels)


def read_cola(path: Path, *, labels: Sequence[str]) -> Iterator[Labelled]:
    """Stream the rows of CoLA: four columns without a header, or a header and the columns index and sentence.

    Raises: DataError for a row of another width, an unknown label, or a table without rows.
    """
    first, cells = peek(tabbed(path))
    headed = "sentence" in first
    records = with_header(cells, path, ("sentence",)) if headed else under(COLA, cells, path, "the layout of CoLA")
    for number, record in records:
        yield _labelled(path, number, record, ("sentence",), "label", labels)


def read_scored(path: Path, *, texts: Texts, score_column: str = "score") -> Iterator[Scored]:
    """Stream the rows of a table; a table without the column of scores is an unlabelled test set.

    Raises: DataError for a missing column, a row of another width, a score that is no number, or a table without rows.
    """
    for number, record in with_header(tabbed(path), path, texts, score_column):
        text = record.get(score_column)
        yield Scored(*pair(record, texts), None if text is None else as_number(text, path, number), number)


def pair(record: Record, texts: Texts) -> tuple[str, str]:
    """Take the first text of a row and the second, empty where there is none."""
    first, second = [*(record[name].strip() for name in texts), ""][:2]
    return first, second


def _labelled(
    path: Path, number: int, record: Record, texts: Texts, label_column: str, labels: Sequence[str]
) -> Labelled:
    label = record.get(label_column)
    return Labelled(*pair(record, texts), None if label is None else one_of(label, labels, path, number), number)
