"""Raw text to clean documents: read, split into sentences, dealt to shards by content, exact duplicates dropped.

Two maps. Each source file becomes a *reading*: its documents, dealt to one part a shard. Each shard then gathers its part
of every reading, drops the documents it has twice, and sorts by id. A changed file is read again alone, and only
the shards whose parts changed are gathered again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import CorpusConfig
from pipeline.core.arrow import Writer, read_rows, write_rows
from pipeline.core.compute import Facts, Piece, adopt
from pipeline.core.errors import DataError
from pipeline.core.files import require_unchanged
from pipeline.core.stage import Context, stage
from pipeline.tables import DOCUMENTS
from pipeline.text.dedup import identity, shard_of
from pipeline.text.sentences import split
from pipeline.text.sources import SOURCES, Document, Reading, Skipped

ROWS_A_PART = 64
"""Rows that each open part holds in memory: every shard of the corpus has one."""
SKIPPED_LISTED = 200
"""How many skipped documents the manifest lists by name; all are counted."""


@dataclass(frozen=True)
class ReadFile:
    """One file to read."""

    path: Path
    sha256: str
    name: str
    kind: str
    source: str
    text_column: str
    language: str
    shards: int

    def what(self) -> dict[str, Any]:
        """Give what its documents depend on."""
        plain = {name: value for name, value in vars(self).items() if name not in ("path", "name")}
        return {**plain, "file": self.path.name}  # titles are made of it where a source has none; its folder is not


@dataclass(frozen=True)
class GatherShard:
    """The parts of one shard, in the order of the sources."""

    parts: tuple[Path, ...]
    digests: tuple[str, ...]


@stage(version=1)
def corpus(cfg: CorpusConfig, ctx: Context) -> Facts:
    """Make the DOCUMENTS of a recipe: one Arrow file a shard.

    Raises: DataError if a file is cut or malformed, too many documents cannot be parsed, or none is left.
    """
    files = _files(cfg, ctx)
    readings = ctx.compute.map(read_file, files, key=ReadFile.what, what="files")
    facts = _reading_facts(files, readings)
    _refuse_bad(facts, cfg)
    shards = ctx.compute.map(gather_shard, _shards(cfg, readings), key=lambda shard: list(shard.digests), what="shards")
    for at, shard in enumerate(shards):
        adopt(shard, "documents.arrow", ctx.out / "documents" / f"{at:05}.arrow")
    facts |= {
        name: sum(shard.facts[name] for shard in shards)
        for name in ("documents", "duplicates", "sentences", "characters")
    }
    if not facts["documents"]:
        raise DataError(f"recipe.corpus.sources: {len(readings)} files hold no document with text; name other files")
    return facts


def read_file(job: ReadFile, out: Path) -> Facts:
    """Read one file into one part a shard; only shards that get a document have a part."""
    facts: Counter[str] = Counter()
    skipped: list[str] = []
    with ExitStack() as stack:
        parts: dict[int, Writer] = {}
        for found in SOURCES[job.kind].read(job.path, Reading(job.source, job.text_column)):
            if isinstance(found, Skipped):
                facts["skipped"] += 1
                skipped.append(f"{found.where}: {found.reason}")
            elif row := _row(found, job.language):
                shard = shard_of(row["id"], job.shards)
                if shard not in parts:
                    parts[shard] = stack.enter_context(
                        Writer(out / f"{shard:05}.arrow", DOCUMENTS, codec="zstd", batch=ROWS_A_PART)
                    )
                parts[shard].add(row)
                facts["read"] += 1
            else:
                facts["empty"] += 1
    require_unchanged(job.path, job.sha256)
    counts = {name: facts[name] for name in ("read", "empty", "skipped")}
    return {**counts, "source": job.source, "skipped_list": skipped[:SKIPPED_LISTED]}


def gather_shard(job: GatherShard, out: Path) -> Facts:
    """Gather one shard: the first of equal documents stays, the order is that of the ids."""
    kept: dict[str, dict[str, Any]] = {}
    seen = 0
    for row in _rows(job.parts):
        kept.setdefault(row["id"], row)
        seen += 1
    rows = [kept[name] for name in sorted(kept)]
    write_rows(out / "documents.arrow", DOCUMENTS, rows, codec="zstd")
    return {
        "documents": len(rows),
        "duplicates": seen - len(rows),
        "sentences": sum(len(row["sentences"]) for row in rows),
        "characters": sum(len(sentence) for row in rows for sentence in row["sentences"]),
    }


def _files(cfg: CorpusConfig, ctx: Context) -> list[ReadFile]:
    return [
        ReadFile(
            path=file.path,
            sha256=file.sha256,
            name=file.name,
            kind=source.kind,
            source=source.name or source.kind,
            text_column=source.text_column,
            language=cfg.language,
            shards=cfg.shards,
        )
        for at, source in enumerate(cfg.sources)
        for file in ctx.sources[f"sources.{at}"]
    ]


def _shards(cfg: CorpusConfig, readings: list[Piece]) -> list[GatherShard]:
    shards = []
    for at in range(cfg.shards):
        name = f"{at:05}.arrow"
        having = [reading for reading in readings if name in reading.files]
        parts = tuple(reading.file(name) for reading in having)
        shards.append(GatherShard(parts, tuple(reading.files[name] for reading in having)))
    return shards


def _rows(parts: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for part in parts:
        yield from read_rows(part)


def _row(document: Document, language: str) -> dict[str, Any] | None:
    sentences = [sentence for paragraph in document.paragraphs for sentence in split(paragraph, language)]
    if not sentences:
        return None
    about = {"source": document.source, "title": document.title, "url": document.url}
    return {"id": identity(sentences), **about, "sentences": sentences}


def _reading_facts(files: list[ReadFile], readings: list[Piece]) -> Facts:
    by_source: Counter[str] = Counter()
    for reading in readings:
        by_source[reading.facts["source"]] += reading.facts["read"]
    listed = [
        f"{file.name}: {line}"
        for file, reading in zip(files, readings, strict=True)
        for line in reading.facts["skipped_list"]
    ]
    counts = {name: sum(reading.facts[name] for reading in readings) for name in ("read", "empty", "skipped")}
    return {**counts, "read_by_source": dict(by_source), "skipped_list": listed[:SKIPPED_LISTED]}


def _refuse_bad(facts: Facts, cfg: CorpusConfig) -> None:
    bad, whole = facts["skipped"], facts["skipped"] + facts["read"] + facts["empty"]
    if bad > cfg.max_bad_fraction * whole:
        raise DataError(
            f"recipe.corpus.max_bad_fraction={cfg.max_bad_fraction}: {bad} of {whole} documents cannot be parsed, "
            f"the first is {facts['skipped_list'][0]}; mend the files or raise the setting"
        )
