"""Tagged words in the CoNLL format: a word a line, its tag in the last column, an empty line between sentences.

Columns are parted by tabs or by spaces, as the first line of a file has it. -DOCSTART- lines are no words. Tags are O, and B-
or I- with a type (BIO: each entity begins with B; IO: with I, and neighbours of one type are one).

Source: Tjong Kim Sang and De Meulder 2003.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.tasks.lines import numbered
from pipeline.tasks.rows import Sentence
from pipeline.tasks.splits import Names, find_splits
from pipeline.tasks.task import Task

TAG = re.compile(r"O|[BI]-\S+")
DOCUMENT = "-DOCSTART-"
NAMES: Names = {
    "train": ("train.*", "*train.conll", "*train.txt", "*.train"),
    "dev": ("dev.*", "valid.*", "*dev.conll", "*dev.txt", "*.testa"),
    "test": ("test.*", "*test.conll", "*test.txt", "*.testb", "*test.annotated"),
}
"""CoNLL-2003 has eng.train, eng.testa and eng.testb, WNUT 2017 wnut17train.conll and emerging.dev.conll."""


def conll() -> Task:
    """Describe a task whose rows are tagged words; the types of entities are those of the training rows."""
    files = partial(find_splits, names=NAMES, layout="tagged words in the CoNLL format")
    metrics = ("f1", "precision", "recall", "accuracy")
    return Task("which words name what?", "tag", metrics, files, read_sentences, answers_in="the last column")


@dataclass
class _Open:
    """The sentence that is being read."""

    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    line: int = 0

    def add(self, word: str, tag: str, line: int) -> None:
        self.line = self.line or line
        self.words.append(word)
        self.tags.append(tag)

    def close(self) -> Sentence:
        sentence = Sentence(tuple(self.words), tuple(self.tags), self.line)
        self.words, self.tags, self.line = [], [], 0
        return sentence


def read_sentences(path: Path) -> Iterator[Sentence]:
    """Stream the sentences of a file.

    Raises: DataError for a line with another number of columns than the first, a tag that is none, or a file without words.
    """
    current, sentences = _Open(), 0
    for number, cells in _columns(path):
        if cells and cells[0] != DOCUMENT:
            current.add(cells[0], _tag(cells[-1], path, number), number)
        elif current.words:
            yield current.close()
            sentences += 1
    if current.words:
        yield current.close()
    elif not sentences:
        raise DataError(f"{path}: holds no words; expected a word and its tag a line")


def _columns(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the columns of each line; none of a line that parts sentences, even if it holds a tab."""
    width, parted = 0, None
    for number, line in numbered(path):
        if not line.strip():
            yield number, []
            continue
        if not width:
            parted = "\t" if "\t" in line else None
        cells = line.split(parted)
        width = width or len(cells)
        if len(cells) != width or width < 2:
            raise DataError(
                f"{path}: line {number} has {len(cells)} columns; expected {max(width, 2)}, a word first and its tag last, "
                f"parted by {'tabs' if parted else 'spaces'} as in the first line"
            )
        yield number, cells


def _tag(text: str, path: Path, number: int) -> str:
    tag = text.strip()
    if not TAG.fullmatch(tag):
        raise DataError(f"{path}: line {number} has the tag {text!r}; expected O, B-TYPE or I-TYPE, such as B-PER")
    return tag
