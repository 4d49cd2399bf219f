"""What a corpus consists of: counted from its documents by source, and what became of all that were found.

`D` documents of a batch.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.arrow import read_batches
from pipeline.core.store import Artifact
from pipeline.tables import DOCUMENTS

AFTER_READING = ("exclude", "duplicates", "near_duplicates")
"""Steps that leave out documents that had been read."""
COUNTING_THREADS = 4
COLUMNS = [DOCUMENTS.get_field_index(name) for name in ("source", "sentences")]


@dataclass(frozen=True)
class Share:
    """What of a corpus is from one source."""

    source: str
    documents: int
    sentences: int
    words: int
    utf8_bytes: int


class Left(NamedTuple):
    """A line of the account of documents: their number is negative where they were left out."""

    documents: int
    step: str
    why: str


def shares_of(corpus: Artifact) -> list[Share]:
    """Count documents, sentences, words and bytes of a corpus by source, in the order of the names.

    Words are what spaces part. Every document is read once: a minute for all of Wikipedia.
    """
    paths = tuple(str(corpus.file(name)) for name in corpus.names("documents"))
    return list(_counted(paths, corpus.manifest["digest"]))


def account_of(facts: Mapping[str, Any]) -> list[Left]:
    """Say what became of the documents of a corpus: found, left out by step and reason, kept."""
    dropped: Mapping[str, int] = facts.get("dropped", {})
    early = sum(count for reason, count in dropped.items() if reason.partition(":")[0] not in AFTER_READING)
    found = sum(facts.get(name, 0) for name in ("read", "empty", "skipped")) + early
    lines = [Left(found, "found", "")]
    for name, why in (("skipped", "could not be parsed"), ("empty", "held no text")):
        if facts.get(name):
            lines.append(Left(-facts[name], name, why))
    for reason, count in dropped.items():
        step, _, why = reason.partition(": ")
        lines.append(Left(-count, step, why))
    return [*lines, Left(facts.get("documents", 0), "kept", "")]


@lru_cache(maxsize=8)
def _counted(paths: Sequence[str], digest: str) -> tuple[Share, ...]:
    """Count files side by side; `digest` names what they hold."""
    totals: dict[str, Counter[str]] = {}
    with ThreadPoolExecutor(COUNTING_THREADS) as pool:
        for counts in pool.map(_count_file, paths):
            for source, count in counts.items():
                totals.setdefault(source, Counter()).update(count)
    return tuple(Share(source, **totals[source]) for source in sorted(totals))


def _count_file(path: str) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for batch in read_batches(Path(path), columns=COLUMNS):
        for source, count in _count_batch(batch):
            found.setdefault(source, Counter()).update(count)
    return found


def _count_batch(batch: pa.RecordBatch) -> Iterable[tuple[str, Counter[str]]]:
    lists: Any = batch["sentences"]
    offsets_D = lists.offsets.to_numpy()
    texts = lists.values
    figures = {
        "documents": np.ones(len(batch), np.int64),
        "sentences": np.diff(offsets_D),
        "words": _summed(pc.add(pc.count_substring(texts, " "), 1), offsets_D),
        "utf8_bytes": _summed(pc.binary_length(texts), offsets_D),
    }
    names: Any = pc.dictionary_encode(batch["source"])
    code_D = names.indices.to_numpy()
    for code, source in enumerate(names.dictionary.to_pylist()):
        here_D = code_D == code
        yield source, Counter({name: int(values_D[here_D].sum()) for name, values_D in figures.items()})


def _summed(values: Any, offsets_D: Any) -> Any:
    """Sum the figures of sentences for each document."""
    sums = np.concatenate([[0], np.cumsum(values.to_numpy(zero_copy_only=False), dtype=np.int64)])
    return sums[offsets_D[1:]] - sums[offsets_D[:-1]]
