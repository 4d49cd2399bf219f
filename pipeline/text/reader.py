"""Reading one span of one file: its documents, cleaned, split into sentences, named and dealt to shards.

What a worker does with one item of the corpus stage's first maps. A document that cannot be read, or takes too long, is
skipped and counted; one that a cleaning step leaves out is counted by step and reason.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.compute import Facts
from pipeline.core.errors import DataError
from pipeline.core.files import require_unchanged
from pipeline.core.limits import Alarm
from pipeline.text.cleaning import Drops, Settings, clean
from pipeline.text.sources import SOURCES, Document, Reading, Skipped
from pipeline.text.sources.document import Span

if TYPE_CHECKING:
    from pipeline.text.readings import Row

SKIPPED_LISTED = 200
"""How many skipped documents the manifest lists by name; all are counted."""
NOTE_CHARACTERS = 400
"""What is listed of one; a title or an address may have a million."""


@dataclass(frozen=True)
class Unpack:
    """One compressed stream to decode."""

    path: Path
    sha256: str
    kind: str

    def what(self) -> dict[str, Any]:
        """Give what its files depend on: they are named after the file, and what is read of them is titled so."""
        return {"sha256": self.sha256, "kind": self.kind, "file": self.path.name}


@dataclass(frozen=True)
class ReadSpan:
    """One span of one file to read."""

    path: Path
    file: str  # what the file is called in notes
    place: int  # of its source among the sources
    sha256: str
    span: Span
    alone: bool  # whether the span is the whole file
    kind: str
    reading: Reading
    steps: tuple[str, ...]
    settings: Settings
    shards: int
    packed_sha256: str = ""  # of the stream that the file was unpacked from, if it was

    def what(self) -> dict[str, Any]:
        """Give what its documents depend on."""
        no_part = ("path", "file", "place", "alone", "packed_sha256")
        plain = {name: value for name, value in vars(self).items() if name not in no_part}
        nested = {name: vars(getattr(self, name)) for name in ("span", "reading", "settings")}
        # titles are made of the file's name where a source has none; its folder is not
        return {**plain, **nested, "file": Path(self.file).name}


def unpack(job: Unpack, out: Path) -> Facts:
    """Decode a compressed stream once into files that are read apart."""
    rewrite = SOURCES[job.kind].unpack
    if rewrite is None:
        raise TypeError(f"{job.kind}: cuts a file into no spans, and cannot unpack it")
    rewrite(job.path, out)
    require_unchanged(job.path, job.sha256)
    return {"files": sorted(path.name for path in out.iterdir())}


def read_span(job: ReadSpan, out: Path) -> Facts:
    """Read one span of a file, clean its documents and deal them to shards."""
    from pipeline.text.readings import Dealer
    from pipeline.text.sources.parts import in_parts

    before = job.path.stat()
    with Dealer(out, job.shards) as dealer, Alarm(job.reading.document_seconds) as alarm:
        washing = _Washing(job, alarm)
        for found in in_parts(SOURCES[job.kind].read(job.path, job.span, job.reading)):
            for row in washing.rows(found):
                dealer.add(row)
    if job.alone:
        require_unchanged(job.path, job.sha256)
    elif _mark(job.path.stat()) != _mark(before):
        raise DataError(f"{job.path}: was changed while it was read; leave it alone and run again")
    # `pretrace trace` finds a document's file by it
    return {**washing.facts(), "places": dealer.places(), "origin": job.packed_sha256 or job.sha256}


class _Washing:
    """Makes rows of what a reader found, and counts what became of it."""

    def __init__(self, job: ReadSpan, alarm: Alarm) -> None:
        self._job = job
        self._alarm = alarm
        self._row = _row_maker(job.settings.language)
        self._counts: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._drops: Drops = Counter()
        self._skipped: list[str] = []

    def rows(self, found: Document | Skipped) -> "list[Row]":
        """Give the row of a document; none if it holds no text, is dropped or cannot be read in time."""
        if isinstance(found, Skipped):
            return self._skip(found)
        dropped = self._drops.total()
        try:
            with self._alarm.set():
                kept = list(clean(iter([found]), self._job.steps, self._job.settings, self._drops))
                rows = [row for document in kept if (row := self._row(document))]
        except DataError as error:
            return self._skip(Skipped(f"document {found.title!r}", str(error)))
        for document in kept:
            if document.left_out:
                self._left_out.update(document.left_out)
        if rows or self._drops.total() == dropped:
            self._counts["read" if rows else "empty"] += 1
        return rows

    def facts(self) -> Facts:
        """Give the counts as plain data."""
        return {
            **{name: self._counts[name] for name in ("read", "empty", "skipped")},
            "skipped_list": self._skipped,
            "left_out": dict(sorted(self._left_out.items())),
            "dropped": {f"{step}: {reason}": count for (step, reason), count in sorted(self._drops.items())},
        }

    def _skip(self, skipped: Skipped) -> "list[Row]":
        self._counts["skipped"] += skipped.documents
        if len(self._skipped) < SKIPPED_LISTED:
            self._skipped.append(_short(f"{skipped.where}: {skipped.reason}"))
        return []


def _short(note: str) -> str:
    """Cut a long note in its middle: it begins with the place, and ends with what to do."""
    if len(note) <= NOTE_CHARACTERS:
        return note
    half = NOTE_CHARACTERS // 2
    return f"{note[:half]} ... {note[-half:]}"


def _row_maker(language: str) -> "Callable[[Document], Row | None]":
    """Make the function that splits a clean document into sentences and names it; None for one without any."""
    from pipeline.text import sentences
    from pipeline.text.dedup import identity
    from pipeline.text.readings import Row

    def row(document: Document) -> Row | None:
        found = sentences.split_all(document.paragraphs, language)
        return Row(identity(found), document.source, document.title, document.url, found) if found else None

    return row


def _mark(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_size, stat.st_mtime_ns, stat.st_ino
