"""Raw text to clean documents: read, cleaned, split into sentences, dealt to shards by content, duplicates dropped.

Maps, each over what the one before it made:

    unpack      a long compressed stream, decoded once into files that can be read apart
    read        a span of a file: its documents, dealt to shards (`pipeline.text.readings`)
    sign, like  signatures of a reading's documents; which documents are almost the same
    gather      a shard: its part of every reading, without what is excluded or there already

A changed file is read again alone, and only the shards whose parts changed are gathered again; so is the shard of a document that
is put on the list of the excluded.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import CorpusConfig
from pipeline.core.compute import Facts, Piece, adopt
from pipeline.core.errors import DataError
from pipeline.core.files import SourceFile, require_unchanged
from pipeline.core.stage import Context, stage
from pipeline.text.cleaning import Settings
from pipeline.text.dedup import shard_of
from pipeline.text.reader import SKIPPED_LISTED, ReadSpan, Unpack, read_span, unpack
from pipeline.text.sources import SOURCES, Reading
from pipeline.text.sources.document import Span

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.text.exclude import Excluded

NEAR = "near_duplicates.arrow"
"""Which documents were removed as near-duplicates, of which documents; see `pipeline.text.near.clusters.REMOVED`."""


@dataclass(frozen=True)
class GatherShard:
    """The parts of one shard, in the order of the sources, and what of it is left out."""

    parts: tuple[tuple[str, tuple[int, ...], str], ...]  # file, batches, digest
    excluded: tuple[str, ...]
    alike: tuple[str, ...]

    def what(self) -> dict[str, Any]:
        """Give what the shard depends on."""
        return {"parts": [part[2] for part in self.parts], "excluded": self.excluded, "alike": self.alike}


@dataclass(frozen=True)
class Sign:
    """One reading whose documents are to be signed."""

    reading: Path
    sha256: str
    shingle_words: int
    permutations: int
    bands: int

    def what(self) -> dict[str, Any]:
        """Give what its signatures depend on."""
        return {name: value for name, value in vars(self).items() if name != "reading"}


@dataclass(frozen=True)
class Compare:
    """Signed readings to compare, and the documents that take no part."""

    signed: tuple[Path, ...]
    digests: tuple[str, ...]
    sources: tuple[int, ...]
    without: tuple[str, ...]
    bands: int
    threshold: float

    def what(self) -> dict[str, Any]:
        """Give what the comparison depends on."""
        return {name: value for name, value in vars(self).items() if name != "signed"}


@stage(version=4)
def corpus(cfg: CorpusConfig, ctx: Context) -> Facts:
    """Make the DOCUMENTS of a recipe: one Arrow file a shard.

    Raises: DataError if a file is cut or malformed, too many documents cannot be parsed, or none is left.
    """
    jobs = _jobs(cfg, ctx)
    readings = ctx.compute.map(read_span, jobs, key=ReadSpan.what, what="spans")
    _require_unchanged(jobs, readings)
    facts = _reading_facts(jobs, readings)
    _refuse_bad(facts, cfg)
    excluded = _excluded(ctx, readings)
    removed = _alike(cfg, ctx, jobs, readings, excluded.ids)
    alike = frozenset(map(str, removed["removed"].to_pylist())) if removed else frozenset()
    gathering = _shards(cfg, readings, excluded.ids, alike)
    shards = ctx.compute.map(gather_shard, gathering, key=GatherShard.what, what="shards")
    for at, shard in enumerate(shards):
        adopt(shard, "documents.arrow", ctx.out / "documents" / f"{at:05}.arrow")
    facts |= {"excluded_unmatched": list(excluded.unmatched), **_gathered_facts(shards, facts["dropped"])}
    facts["clusters"] = _clusters(removed, readings)
    _refuse_empty(facts, len({job.file for job in jobs}))
    return facts


def sign_reading(job: Sign, out: Path) -> Facts:
    """Sign the documents of one reading."""
    from pipeline.text.alike import sign

    settings = {"shingle_words": job.shingle_words, "permutations": job.permutations, "bands": job.bands}
    return {"documents": sign(job.reading, out / "signatures.arrow", **settings)}


def compare(job: Compare, out: Path) -> Facts:
    """Find the documents that are almost the same as others."""
    from pipeline.core.arrow import write_table
    from pipeline.text import alike

    removed = alike.compare(job.signed, job.sources, job.without, bands=job.bands, threshold=job.threshold)
    return {"removed": write_table(out / NEAR, removed, codec="zstd")}


def gather_shard(job: GatherShard, out: Path) -> Facts:
    """Gather one shard, in the order of the readings: the first of equal documents stays."""
    from pipeline.text.readings import Part, gather

    return gather(
        [Part(Path(path), batches, digest) for path, batches, digest in job.parts], job.excluded, job.alike, out
    )


def _jobs(cfg: CorpusConfig, ctx: Context) -> list[ReadSpan]:
    """List the spans to read, in the order of the sources; long compressed streams are unpacked for it."""
    planned = [(at, file) for at in range(len(cfg.sources)) for file in ctx.sources[f"sources.{at}"]]
    spans = [SOURCES[cfg.sources[at].kind].cut(file.path) for at, file in planned]
    packed = [
        Unpack(file.path, file.sha256, cfg.sources[at].kind)
        for (at, file), cut in zip(planned, spans, strict=True)
        if not cut
    ]
    unpacked = iter(ctx.compute.map(unpack, packed, key=Unpack.what, what="streams") if packed else [])
    jobs: list[ReadSpan] = []
    for (at, file), cut in zip(planned, spans, strict=True):
        whole = _job(cfg, at, file)
        if cut:
            jobs += [replace(whole, span=span, alone=len(cut) == 1) for span in cut]
        else:
            jobs += _chunks(whole, next(unpacked))
    return jobs


def _job(cfg: CorpusConfig, at: int, file: SourceFile) -> ReadSpan:
    source = cfg.sources[at]
    return ReadSpan(
        path=file.path,
        file=file.name,
        place=at,
        sha256=file.sha256,
        span=Span(0, file.size_bytes),
        alone=True,
        kind=source.kind,
        reading=Reading(
            source=source.name or source.kind,
            text_column=source.text_column,
            list_items=source.list_items,
            truncated=source.truncated,
            document_seconds=cfg.document_seconds,
        ),
        steps=cfg.cleaning.steps,
        settings=Settings(
            language=cfg.language,
            minimum_words=cfg.cleaning.minimum_words,
            language_confidence=cfg.cleaning.language_confidence,
        ),
        shards=cfg.shards,
    )


def _chunks(whole: ReadSpan, unpacked: Piece) -> list[ReadSpan]:
    """List the jobs that read the files of an unpacked stream."""
    paths = [unpacked.file(name) for name in unpacked.facts["files"]]
    packed = replace(whole, packed_sha256=whole.sha256)
    return [
        replace(packed, path=path, sha256=unpacked.files[path.name], span=Span(0, path.stat().st_size))
        for path in paths
    ]


def _require_unchanged(jobs: Sequence[ReadSpan], readings: Sequence[Piece]) -> None:
    """Hash each file that was read in several spans once more; what was made of a changed one is thrown away."""
    cut = {job.path: job.sha256 for job in jobs if not job.alone}
    for path, sha256 in cut.items():
        try:
            require_unchanged(path, sha256)
        except DataError:
            for job, reading in zip(jobs, readings, strict=True):
                if job.path == path:
                    shutil.rmtree(reading.path, ignore_errors=True)
            raise


def _excluded(ctx: Context, readings: Sequence[Piece]) -> "Excluded":
    from pipeline.text.exclude import Excluded, find, listed
    from pipeline.text.readings import index_of

    lists = ctx.sources.get("exclude", ())
    if not lists:
        return Excluded(frozenset(), ())
    lines = [line for file in lists for line in listed(file.path)]
    for file in lists:
        require_unchanged(file.path, file.sha256)
    return find(lines, [index_of(reading.path) for reading in readings])


def _alike(
    cfg: CorpusConfig, ctx: Context, jobs: Sequence[ReadSpan], readings: Sequence[Piece], excluded: frozenset[str]
) -> "pa.Table | None":
    """Find near-duplicates of all readings: adopts and returns the table of those that go; None if nobody asked.

    No document goes for the sake of an excluded one: those are taken out of the comparison until none of them leads.
    """
    if cfg.near_duplicates.mode == "keep":
        return None
    without: frozenset[str] = frozenset()
    found, removed = _compared(cfg, ctx, jobs, readings, without)
    while excluded.intersection(kept := removed["kept"].to_pylist()):  # what goes for their sake has to stay
        without |= excluded.intersection([*kept, *removed["removed"].to_pylist()])
        found, removed = _compared(cfg, ctx, jobs, readings, without)
    adopt(found, NEAR, ctx.out / NEAR)
    return removed


def _clusters(removed: "pa.Table | None", readings: Sequence[Piece]) -> Facts:
    """Describe which documents were removed as near-duplicates of which."""
    from pipeline.core.arrow import read_table
    from pipeline.text.near.report import report
    from pipeline.text.readings import index_of

    return report(removed, (read_table(index_of(reading.path)) for reading in readings)) if removed else {"count": 0}


def _compared(
    cfg: CorpusConfig, ctx: Context, jobs: Sequence[ReadSpan], readings: Sequence[Piece], without: frozenset[str]
) -> "tuple[Piece, pa.Table]":
    from pipeline.core.arrow import read_table

    near = cfg.near_duplicates
    signing = [
        Sign(reading.path, reading.files["documents.arrow"], near.shingle_words, near.permutations, near.bands)
        for reading in readings
    ]
    signed = ctx.compute.map(sign_reading, signing, key=Sign.what, what="readings")
    comparison = Compare(
        signed=tuple(piece.file("signatures.arrow") for piece in signed),
        digests=tuple(piece.files["signatures.arrow"] for piece in signed),
        sources=tuple(job.place for job in jobs),
        without=tuple(sorted(without)),
        bands=near.bands,
        threshold=near.threshold,
    )
    (found,) = ctx.compute.map(compare, [comparison], key=Compare.what, what="near-duplicates")
    return found, read_table(found.file(NEAR))


def _shards(
    cfg: CorpusConfig, readings: Sequence[Piece], excluded: frozenset[str], alike: frozenset[str]
) -> list[GatherShard]:
    from pipeline.text.readings import parts

    by_shard = [_by_shard(ids, cfg.shards) for ids in (excluded, alike)]
    placed = [(reading.path, reading.facts["places"]) for reading in readings]
    return [
        GatherShard(
            tuple((str(part.path), part.batches, part.sha256) for part in parts(placed, at)),
            *(tuple(sorted(ids.get(at, ()))) for ids in by_shard),
        )
        for at in range(cfg.shards)
    ]


def _by_shard(ids: Iterable[str], shards: int) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for name in ids:
        found.setdefault(shard_of(name, shards), []).append(name)
    return found


def _reading_facts(jobs: Sequence[ReadSpan], readings: Sequence[Piece]) -> Facts:
    by_source: Counter[str] = Counter()
    sums: dict[str, Counter[str]] = {"left_out": Counter(), "dropped": Counter()}
    for job, reading in zip(jobs, readings, strict=True):
        by_source[job.reading.source] += reading.facts["read"]
        for name, total in sums.items():
            total.update(reading.facts[name])
    listed = [
        f"{job.file}: {line}"
        for job, reading in zip(jobs, readings, strict=True)
        for line in reading.facts["skipped_list"]
    ]
    counts = {name: sum(reading.facts[name] for reading in readings) for name in ("read", "empty", "skipped")}
    return {
        **counts,
        "read_by_source": dict(by_source),
        "skipped_list": listed[:SKIPPED_LISTED],
        **{name: dict(total.most_common()) for name, total in sums.items()},
    }


def _gathered_facts(shards: Sequence[Piece], dropped: Mapping[str, int]) -> Facts:
    names = ("documents", "duplicates", "sentences", "characters")
    total = Counter(dropped)
    for shard in shards:
        total.update(shard.facts["dropped"])
    return {
        **{name: sum(shard.facts[name] for shard in shards) for name in names},
        "dropped": dict(total.most_common()),
    }


def _refuse_empty(facts: Facts, files: int) -> None:
    if facts["documents"]:
        return
    if not facts["dropped"]:
        raise DataError(f"recipe.corpus.sources: {files} files hold no document with text; name other files")
    reasons = ", ".join(f"{reason}: {count}" for reason, count in facts["dropped"].items())
    raise DataError(
        f"recipe.corpus: every document was left out ({reasons}); change these settings or name other files"
    )


def _refuse_bad(facts: Facts, cfg: CorpusConfig) -> None:
    bad, whole = (
        facts["skipped"],
        sum(facts[name] for name in ("skipped", "read", "empty")) + sum(facts["dropped"].values()),
    )
    if bad > cfg.max_bad_fraction * whole:
        raise DataError(
            f"recipe.corpus.max_bad_fraction={cfg.max_bad_fraction}: {bad} of {whole} documents cannot be parsed, "
            f"the first is {facts['skipped_list'][0]}; mend the files or raise the setting"
        )
