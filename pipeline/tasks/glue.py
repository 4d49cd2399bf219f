"""The official GLUE layout: a folder with train.tsv, dev.tsv and test.tsv (.gz as well), a header line, no quoting.

Source: Wang et al. 2019. The tables hold unbalanced quotation marks, so quotes are ordinary characters.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pipeline.core.errors import ConfigError, DataError
from pipeline.tasks.lines import numbered
from pipeline.tasks.task import UNKNOWN, Row, Split, Task

SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def glue(summary: str, texts: tuple[str, ...], labels: tuple[str, ...], *, label_column: str = "label") -> Task:
    """Describe a GLUE classification task by its columns and labels."""
    read = partial(read_tsv, texts=texts, label_column=label_column, labels=labels)
    return Task(summary, labels, ("accuracy",), find_splits, read)


def find_splits(folder: Path) -> dict[Split, Path]:
    """Find the splits of a task in its folder.

    Raises: ConfigError if there is no training set.
    """
    found: dict[Split, Path] = {}
    for split in SPLITS:
        for path in (folder / f"{split}.tsv", folder / f"{split}.tsv.gz"):
            if path.is_file():
                found.setdefault(split, path)
    if "train" not in found:
        raise ConfigError(f"{folder}: holds no train.tsv; expected a task's folder in the GLUE layout")
    return found


def read_tsv(path: Path, *, texts: Sequence[str], label_column: str, labels: Sequence[str]) -> Iterator[Row]:
    """Stream the rows of a table; a table without the label column is an unlabelled test set.

    Raises: DataError for a missing column, a row of another width, an unknown label, or a table without rows.
    """
    lines = numbered(path)
    header = next(lines)[1].split("\t")
    if missing := [name for name in texts if name not in header]:
        raise DataError(f"{path}: has no column {missing[0]}; its columns are {', '.join(header)}")
    columns = [header.index(name) for name in texts]
    label_at = header.index(label_column) if label_column in header else None
    count = 0
    for number, line in lines:
        cells = line.split("\t")
        if len(cells) != len(header):
            raise DataError(
                f"{path}: line {number} has {len(cells)} columns and the header {len(header)}; mend the row"
            )
        label = UNKNOWN if label_at is None else _label(cells[label_at], labels, path, number)
        first, second = [*(cells[at].strip() for at in columns), ""][:2]
        yield Row(first, second, label)
        count += 1
    if not count:
        raise DataError(f"{path}: has a header and no rows; expected one row a line")


def _label(text: str, labels: Sequence[str], path: Path, number: int) -> int:
    if text not in labels:
        raise DataError(f"{path}: line {number} has the label {text!r}; expected one of {', '.join(labels)}")
    return labels.index(text)
