"""Stages made for measurements: in this process, one item after another, without a record."""

import bz2
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal


def recipe(folder: Path, **corpus: Any) -> Any:
    """Give the recipe that all parts share: Google's vocabulary, length 128, static masks, one pass."""
    from pipeline.config import Recipe

    sources = corpus.pop("sources", None) or [
        {"kind": "books", "path": str(folder / "raw" / "books")},
        {"kind": "csv", "path": str(folder / "raw" / "*.tsv"), "text_column": "abstract", "name": "abstracts"},
    ]
    return Recipe.model_validate(
        {
            "corpus": {"sources": sources, "shards": 8, "max_bad_fraction": 1.0, **corpus},
            "tokenizer": {"path": str(folder / "vocab.txt")},
            "masking": {"mode": "static"},
            "phases": [{"sequence_length": 128, "steps": 1, "global_batch": 2}],
        }
    )


class Alone:
    """A place where work runs in this process, one item after another."""

    def map(
        self,
        fn: Any,
        items: Sequence[Any],
        folders: Sequence[Path],
        done: Callable[[int], None],
        each: Literal["worker", "rank"] = "worker",
    ) -> list[Any]:
        """Make every item."""
        from pipeline.core.compute import in_turn

        return in_turn(fn, items, folders, done)

    def gang(self, entry: str, order: Path, watch: Callable[[], None]) -> None:
        """Refuse: nothing is trained here."""
        raise NotImplementedError


class Unrecorded:
    """Takes the record's place."""

    @property
    def complete(self) -> bool:
        """Miss nothing."""
        return True

    @contextmanager
    def stage(self, step: Any, inputs: Mapping[str, Any], work: Path) -> Iterator["Unrecorded"]:
        """Record nothing."""
        yield self

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record nothing."""

    def trial(self, trial: Any) -> None:
        """Record nothing."""

    def where(self) -> dict[str, str]:
        """Give nowhere."""
        return {}

    def made(self, artifact: Any) -> None:
        """Record nothing."""


def forget(folder: Path, store: str, names: Sequence[str]) -> None:
    """Throw away what was made of some stages, pieces too."""
    for name in names:
        shutil.rmtree(folder / store / name, ignore_errors=True)
        shutil.rmtree(folder / store / "pieces" / name, ignore_errors=True)


def make(folder: Path, store: str, names: Sequence[str], *, place: Any = None, **corpus: Any) -> Any:
    """Make steps of the recipe into a store; returns the last artifact."""
    from pipeline.core.files import Digests
    from pipeline.core.progress import Quiet
    from pipeline.core.stage import materialize
    from pipeline.core.store import Store
    from pipeline.plan import plan

    opened = Store(folder / store).open()
    made = None
    for step in plan(recipe(folder, **corpus), Digests(folder / store / "digests.jsonl").describe):
        if step.label in names:
            run = SimpleNamespace(country="USA")
            made, _ = materialize(step, opened, place or Alone(), Unrecorded(), Quiet(), run)
    return made


def write_multistream(dump: Path, into: Path, copies: int, pages_a_stream: int = 20) -> None:
    """Lay the pages of a dump some times over into one multistream dump, as Wikimedia does: a stream every so many pages."""
    xml = bz2.decompress(dump.read_bytes())
    pages = re.findall(rb"[ \t]*<page>.*?</page>\s*", xml, re.DOTALL)
    streams = [b"".join(pages[at : at + pages_a_stream]) for at in range(0, len(pages), pages_a_stream)]
    packed = b"".join(map(bz2.compress, streams))
    head, _, _ = xml.partition(b"<page>")
    with into.open("wb") as out:
        out.write(bz2.compress(head))
        for _ in range(copies):
            out.write(packed)
        out.write(bz2.compress(b"</mediawiki>\n"))
