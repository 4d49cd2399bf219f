"""Documents that somebody asked to leave out, listed in a file: an id, a title or a url a line."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
from pyarrow import array, string

from pipeline.core.arrow import read_batches
from pipeline.core.errors import DataError
from pipeline.text.clean import normalise

COLUMNS = ("id", "title", "url")


@dataclass(frozen=True)
class Excluded:
    """The ids of the documents that the list means, and its lines that mean none."""

    ids: frozenset[str]
    unmatched: tuple[str, ...]


def listed(path: Path) -> list[str]:
    """Read the lines of a list; blank ones do not count.

    Raises: DataError if it is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; convert the list to UTF-8") from error
    return [line for raw in text.splitlines() if (line := normalise(raw))]


def find(lines: Iterable[str], indexes: Iterable[Path]) -> Excluded:
    """Find the documents that lines mean in the indexes of readings."""
    lines = sorted(set(lines))
    wanted = array(lines, string())
    ids: set[str] = set()
    met: set[str] = set()
    for index in indexes:
        for batch in read_batches(index):
            for name in COLUMNS:
                found = pc.is_in(batch[name], value_set=wanted)
                ids.update(map(str, batch["id"].filter(found)))
                met.update(map(str, batch[name].filter(found)))
    return Excluded(frozenset(ids), tuple(line for line in lines if line not in met))
