"""Documents found again in files of DOCUMENTS: by id, url or title, or by words that stand in them.

Files are read a batch at a time, and no column that is not asked for, so that a corpus of any size takes little memory.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.arrow import read_batches
from pipeline.tables import DOCUMENTS
from pipeline.text.clean import normalise

NAMES: tuple[Literal["id", "url", "title"], ...] = ("id", "url", "title")
"""What a document may be named by, the surest first."""
ABOUT = [DOCUMENTS.get_field_index(name) for name in ("id", "source", "title", "url")]
TEXT = [*ABOUT, DOCUMENTS.get_field_index("sentences")]


class Row(NamedTuple):
    """A document and where it stands: row `row` of file number `shard`."""

    id: str
    source: str
    title: str
    url: str
    shard: int
    row: int


@dataclass
class Found:
    """The first documents that something names, and how many there are."""

    by: Literal["id", "url", "title", "text"]
    most: int
    rows: list[Row] = field(default_factory=list)
    total: int = 0

    def add(self, batch: pa.RecordBatch, shard: int, first: int, matching: Any) -> None:
        """Take the matching rows of a batch whose first row is row `first` of its file."""
        at: list[int] = pc.indices_nonzero(matching).to_pylist()
        self.total += len(at)
        for row in at[: self.most - len(self.rows)]:
            identity, source, title, url = (str(batch[name][row]) for name in ("id", "source", "title", "url"))
            self.rows.append(Row(identity, source, title, url, shard, first + row))


def find(paths: Sequence[Path], wanted: str, *, most: int) -> Found:
    """Find the documents of which `wanted` is the id, else the url, else the title, else a part of title or text.

    Text is compared as the corpus has it: normalised, with one space, or none, between sentences; case counts.
    """
    names = {wanted, normalise(wanted)}
    named = [Found(name, most) for name in NAMES]
    for batch, shard, first in _batches(paths, ABOUT):
        for found in named:
            found.add(batch, shard, first, one_of(names, [found.by])(batch))
    return next((found for found in named if found.total), None) or _holding(paths, normalise(wanted), most)


def about(path: Path, matches: Callable[[pa.RecordBatch], Any]) -> Iterator[dict[str, str]]:
    """Yield id, source, title and url of some rows of a file of documents, or of the index of a reading."""
    for batch in read_batches(path, columns=ABOUT):
        yield from batch.filter(matches(batch)).to_pylist()


def one_of(names: Iterable[str], columns: Sequence[str] = NAMES) -> Callable[[pa.RecordBatch], Any]:
    """Make a test for `about`: is the value of any of these columns among some names?"""
    wanted = pa.array(sorted(set(names)), pa.string())

    def matches(batch: pa.RecordBatch) -> Any:
        first, *others = (pc.is_in(batch[name], value_set=wanted) for name in columns)
        for other in others:
            first = pc.or_(first, other)
        return first

    return matches


def _holding(paths: Sequence[Path], wanted: str, most: int) -> Found:
    found = Found("text", most)
    longest = max(wanted.split(), key=len).encode() if wanted else b""
    for batch, shard, first in _batches(paths, TEXT) if wanted else ():
        if _may_hold(batch, longest):
            found.add(batch, shard, first, _holds(batch, wanted))
    return found


def _may_hold(batch: pa.RecordBatch, word: bytes) -> bool:
    """Tell whether a word stands in a batch at all: a fifth of the work, since all its text lies in one piece."""
    columns: list[Any] = [batch["title"], batch["sentences"]]
    texts = (columns[0].buffers()[-1], columns[1].values.buffers()[-1])
    return any(text is not None and word in text.to_pybytes() for text in texts)


def _holds(batch: pa.RecordBatch, wanted: str) -> Any:
    """Tell which documents hold some words; where a script has no spaces, sentences are joined by none."""
    sentences: Any = batch["sentences"]
    texts: list[Any] = [batch["title"], *(pc.binary_join(sentences, between) for between in (" ", ""))]
    title, spaced, joined = (pc.match_substring(text, wanted) for text in texts)
    return pc.or_(title, pc.or_(spaced, joined))


def _batches(paths: Sequence[Path], columns: Sequence[int]) -> Iterator[tuple[pa.RecordBatch, int, int]]:
    """Yield each batch with the number of its file and of its first row."""
    for shard, path in enumerate(paths):
        first = 0
        for batch in read_batches(path, columns=columns):
            yield batch, shard, first
            first += len(batch)
