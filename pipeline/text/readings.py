"""A reading: the documents of one span of one file, dealt to shards by their text.

All of it is one Arrow file whose record batches hold rows of one shard each, so that whoever gathers a shard reads that
shard's batches and no others. Beside it lies an index: what can be known of the rows without their text, in the same order.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.arrow import BatchWriter, read_batches
from pipeline.tables import DOCUMENTS
from pipeline.text.dedup import shard_of

FLUSH_CHARACTERS = 1 << 24
"""How much text waits in memory before it is written."""
BATCH_BYTES = 4 << 20
"""How much of a shard is written as one batch, and so has to be in memory at once to be read."""
EXCLUDED = "exclude: listed in recipe.corpus.exclude"
ALIKE = "near_duplicates: almost the same as a document that is kept"
SAME = "duplicates: the same text as a document of"
ABOUT: "list[pa.Field[Any]]" = [DOCUMENTS.field(name) for name in ("id", "source", "title", "url")]
INDEX = pa.schema([*ABOUT, pa.field("characters", pa.int64(), nullable=False)])


class Row(NamedTuple):
    """One document to be written; see DOCUMENTS."""

    id: str
    source: str
    title: str
    url: str
    sentences: list[str]


class Part(NamedTuple):
    """Where one shard's rows of a reading are: the file, its batches, and their digest."""

    path: Path
    batches: tuple[int, ...]
    sha256: str


@dataclass
class _Waiting:
    """Rows of one shard that are not yet written."""

    about: list[tuple[str, str, str, str]] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    ends: list[int] = field(default_factory=lambda: [0])
    characters: list[int] = field(default_factory=list)

    def add(self, row: Row, characters: int) -> None:
        self.about.append(row[:4])
        self.sentences.extend(row.sentences)
        self.ends.append(len(self.sentences))
        self.characters.append(characters)

    def columns(self) -> "list[pa.Array[Any]]":
        return [pa.array(column, pa.string()) for column in zip(*self.about, strict=True)]

    def batch(self) -> pa.RecordBatch:
        texts = pa.array(self.sentences, pa.string())
        lists = pa.ListArray.from_arrays(pa.array(self.ends, pa.int32()), texts)
        return pa.record_batch([*self.columns(), lists], schema=DOCUMENTS)

    def index(self) -> pa.RecordBatch:
        return pa.record_batch([*self.columns(), pa.array(self.characters, pa.int64())], schema=INDEX)


class Dealer:
    """Writes a reading, row by row."""

    def __init__(self, folder: Path, shards: int) -> None:
        self._shards = shards
        self._waiting: dict[int, _Waiting] = {}
        self._characters = 0
        self._places: dict[int, list[int]] = {}
        self._digests: dict[int, Any] = {}
        # not compressed: it is read twice soon, and to compress it took as long as to split its sentences
        self._documents = BatchWriter(documents_of(folder), DOCUMENTS, codec=None, target_bytes=1)
        self._index = BatchWriter(index_of(folder), INDEX, codec="zstd", target_bytes=FLUSH_CHARACTERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._documents.__exit__(kind, error, trace)
        self._index.__exit__(kind, error, trace)

    def add(self, row: Row) -> None:
        """Take a document."""
        characters = sum(map(len, row.sentences))
        self._waiting.setdefault(shard_of(row.id, self._shards), _Waiting()).add(row, characters)
        self._characters += characters
        if self._characters >= FLUSH_CHARACTERS:
            self._flush()

    def places(self) -> dict[str, Any]:
        """Say, as plain data, which batches hold which shard's rows; `parts` reads it."""
        return {
            str(shard): {"batches": batches, "sha256": self._digests[shard].hexdigest()}
            for shard, batches in sorted(self._places.items())
        }

    def _flush(self) -> None:
        for shard in sorted(self._waiting):
            batch = self._waiting[shard].batch()
            self._places.setdefault(shard, []).append(self._documents.batches)
            self._digests.setdefault(shard, hashlib.sha256()).update(batch.serialize())
            self._documents.add(batch)
            self._index.add(self._waiting[shard].index())
        self._waiting.clear()
        self._characters = 0


def documents_of(folder: Path) -> Path:
    """Name the file of a reading's rows."""
    return folder / "documents.arrow"


def index_of(folder: Path) -> Path:
    """Name the file of a reading's index."""
    return folder / "index.arrow"


def parts(readings: Iterable[tuple[Path, Mapping[str, Any]]], shard: int) -> tuple[Part, ...]:
    """List where one shard's rows are, over readings given by their folder and `places`."""
    return tuple(
        Part(documents_of(folder), tuple(place["batches"]), place["sha256"])
        for folder, places in readings
        if (place := places.get(str(shard)))
    )


def rows_of_shard(where: Sequence[Part]) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of one shard, in the order of the readings."""
    for part in where:
        yield from read_batches(part.path, part.batches)


def gather(where: Sequence[Part], excluded: Iterable[str], alike: Iterable[str], out: Path) -> dict[str, Any]:
    """Write the DOCUMENTS of one shard, sorted by id, and count them: each text once, the first of it in the order of readings.

    Sorted by a hash, neighbours are strangers: whoever reads a stretch of a shard reads a sample of it. Readings are mapped
    and rows taken a few MB at a time, so memory is flat.
    """
    unwanted = {**dict.fromkeys(alike, ALIKE), **dict.fromkeys(excluded, EXCLUDED)}
    batches = list(rows_of_shard(where))
    places, dropped = _chosen(batches, unwanted)
    counts = Counter({"sentences": 0, "characters": 0})
    with BatchWriter(documents_of(out), DOCUMENTS, codec="zstd", target_bytes=1) as writer:
        for some in _runs(places):
            rows = _taken(batches, some)
            sentences: Any = pc.list_flatten(rows["sentences"])
            counts["sentences"] += len(sentences)
            counts["characters"] += pc.sum(pc.utf8_length(sentences)).as_py() or 0
            writer.add(rows)
    duplicates = sum(count for reason, count in dropped.items() if reason.startswith(SAME))
    return {"documents": writer.rows, "duplicates": duplicates, **counts, "dropped": dict(dropped)}


class _Place(NamedTuple):
    """Where a row is, and how long it is."""

    id: str
    batch: int
    row: int
    size_bytes: int


def _chosen(batches: Sequence[pa.RecordBatch], unwanted: Mapping[str, str]) -> tuple[list[_Place], Counter[str]]:
    """List the rows to keep, sorted by id, and count the others by reason."""
    source_of: dict[str, str] = {}
    dropped: Counter[str] = Counter()
    kept = []
    for at, batch in enumerate(batches):
        about: Iterable[Any] = zip(
            batch["id"].to_pylist(), batch["source"].to_pylist(), _sizes(batch["sentences"]), strict=True
        )
        for row, (name, source, size_bytes) in enumerate(about):
            if reason := _reason(name, source, unwanted, source_of):
                dropped[reason] += 1
            else:
                kept.append(_Place(name, at, row, size_bytes))
    return sorted(kept), dropped


def _sizes(sentences: Any) -> list[int]:
    """Give the bytes of text of each row."""
    text_at = sentences.values.buffers()[1]
    ends_S = np.frombuffer(text_at, np.int32)[sentences.values.offset :] if text_at else np.zeros(1, np.int32)
    sizes: list[int] = np.diff(ends_S[sentences.offsets.to_numpy()]).tolist()
    return sizes


def _reason(name: str, source: str, unwanted: Mapping[str, str], source_of: dict[str, str]) -> str:
    """Say why a document is left out; nothing if it is the first of its text, which is noted."""
    if name in unwanted:
        return unwanted[name]
    if name in source_of:
        return f"{SAME} {source_of[name]}"
    source_of[name] = source
    return ""


def _runs(places: Iterable[_Place]) -> Iterator[list[_Place]]:
    """Cut rows into runs of at least BATCH_BYTES of text."""
    run: list[_Place] = []
    size_bytes = 0
    for place in places:
        run.append(place)
        size_bytes += place.size_bytes
        if size_bytes >= BATCH_BYTES:
            yield run
            run, size_bytes = [], 0
    if run:
        yield run


def _taken(batches: Sequence[pa.RecordBatch], places: Sequence[_Place]) -> pa.RecordBatch:
    """Take rows out of batches, in the order in which they are asked for."""
    order = sorted(range(len(places)), key=lambda at: places[at][1:3])
    parts = [
        batches[number].take(pa.array([places[at].row for at in some]))
        for number, some in groupby(order, key=lambda at: places[at].batch)
    ]
    rows: pa.RecordBatch = pa.concat_batches(parts).take(pa.array(np.argsort(np.array(order))))  # type: ignore[attr-defined]
    return rows
