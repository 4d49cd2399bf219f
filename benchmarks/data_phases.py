"""Where the time goes from raw files to examples: CPU seconds within each kind of work."""

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_making import forget, make


def phases_child(_: str, folder: Path) -> dict[str, float]:
    """Say where the time goes: CPU seconds within each kind of work, on the second time in a process."""
    from pipeline.core import arrow, compute
    from pipeline.objectives import making
    from pipeline.stages import examples
    from pipeline.text import alike, dedup, encode, reader, readings, sentences
    from pipeline.text.sources import SOURCES

    spent: dict[str, float] = defaultdict(float)
    for module, name, what in (
        (reader, "clean", "clean"),
        (sentences, "split_all", "split"),
        (dedup, "identity", "name"),
        (readings.Dealer, "add", "deal documents"),
        (readings.Dealer, "__exit__", "deal documents"),
        (readings, "gather", "gather shards"),
        (alike, "sign", "near-duplicates"),
        (alike, "compare", "near-duplicates"),
        (encode.Gate, "choose", "try the encoder"),
        (encode, "load", "load the tokenizer"),
        (compute, "sha256_of", "hash files"),
        (reader, "require_unchanged", "hash files"),
        (encode, "encode_documents", "encode"),
        (making.ExamplesFile, "_draw", "pair"),
        (making, "mask_examples", "mask"),
        (making.ExamplesFile, "_table", "lay out"),
        (making.ExamplesFile, "_count", "lay out"),
        (examples, "_shards", "shuffle and deal"),
        (examples, "_deal", "shuffle and deal"),
        (arrow.BatchWriter, "flush", "write"),
    ):
        setattr(module, name, timed(getattr(module, name), what, spent))
    for kind, source in SOURCES.items():
        SOURCES[kind] = replace(source, read=timed(source.read, "read", spent))
    stages = ["corpus", "examples"]
    make(folder, "phases", ["corpus", "tokenizer", "examples"])
    forget(folder, "phases", stages)
    spent.clear()
    begin = time.process_time()
    make(folder, "phases", stages)
    spent["all the rest"] = time.process_time() - begin - sum(spent.values())
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


RUNNING: list[str] = []
"""What is being timed, outermost first: time within goes to the innermost."""


def timed(work: Callable[..., Any], what: str, spent: dict[str, float]) -> Callable[..., Any]:
    """Note the CPU seconds within a function, also while what it yields is asked for, less those of others within it."""

    def step(body: Callable[[], Any]) -> Any:
        RUNNING.append(what)
        begin = time.process_time()
        try:
            return body()
        finally:
            seconds = time.process_time() - begin
            RUNNING.pop()
            spent[what] += seconds
            if RUNNING:
                spent[RUNNING[-1]] -= seconds

    def wrapped(*given: Any, **named: Any) -> Any:
        made = step(lambda: work(*given, **named))
        return _asked(made, step) if isinstance(made, Generator) else made

    return wrapped


def _asked(made: Iterator[Any], step: Callable[[Callable[[], Any]], Any]) -> Iterator[Any]:
    end = object()
    while (item := step(lambda: next(made, end))) is not end:
        yield item
