"""`pretrace trace`: a document, the file it was read from, the examples made of it, and the steps that saw them."""

import json
from collections.abc import Iterator
from typing import Any

import click
from rich.table import Table

from flows.progress import console
from pipeline.core.store import Store
from pipeline.trace import ExampleSeen, ModelSeen, OutsideFile, PhaseSeen, Trace, Traced, trace

EXAMPLES, STEPS = 20, 12
"""How many examples are shown of a document, and how many steps of an example; `--json` tells all."""
DIGITS = 16


def trace_and_tell(store: Store, wanted: str, model: str | None, *, as_json: bool) -> None:
    """Trace the documents that `wanted` names and print what became of them.

    Raises: ConfigError if it names none; see `pipeline.trace.trace`.
    """
    found = trace(store, wanted, model)
    if as_json:
        click.echo(json.dumps(_plain(found), indent=1, ensure_ascii=False))
        return
    for line in found.left_out:
        click.echo(f"of this name: {line}")
    for document in found.documents:
        _tell(document)
    if found.more:
        click.echo(f"{found.more:,} more documents match; give more words, a url or an id")


def _tell(document: Traced) -> None:
    row = document.row
    by = "words in its title or text" if document.found_by == "text" else f"its {document.found_by}"
    click.echo(f"{row.title or row.id}  (found by {by})")
    lines = [("id", row.id), ("url", row.url), ("shard", f"{document.corpus}/{document.file}, row {row.row}")]
    for name, value in lines:
        if value:
            click.echo(f"  {name:<7}{value}")
    _tell_sources(document)
    if not document.models:
        click.echo(f"  no model of this store was trained on {document.corpus}")
    for model in document.models:
        _tell_model(model)
    click.echo()


def _tell_sources(document: Traced) -> None:
    first, *others = document.sources
    if not document.source_known:
        click.echo(
            f"  source {document.row.source}: one of {len(document.sources)} files; which one is no longer known"
        )
        others = [first, *others]
    else:
        click.echo(f"  source {document.row.source}: {_described(first)}")
    for file in others[:EXAMPLES]:
        click.echo(f"         {'also in ' if document.source_known else ''}{_described(file)}")
    if len(others) > EXAMPLES:
        click.echo(f"         and {len(others) - EXAMPLES:,} more")


def _described(file: OutsideFile) -> str:
    return f"{file.name}  sha256 {file.sha256[:DIGITS]}  {file.path}"


def _tell_model(model: ModelSeen) -> None:
    steps = model.steps
    if model.held_out:
        click.echo(f"  {model.model}: held out: the model was measured by it and never trained on it")
    elif not any(phase.examples for phase in model.phases):
        click.echo(f"  {model.model}: no example was made of it")
    elif not steps:
        click.echo(f"  {model.model}: no step saw it")
    else:
        span = f"{len(steps):,} steps, from {steps[0]} to {steps[-1]}" if len(steps) > 1 else f"step {steps[0]}"
        click.echo(f"  {model.model}: seen at {span}")
    for phase in model.phases:
        if phase.examples:
            click.echo(f"    phase {phase.phase}, length {phase.sequence_length}, {len(phase.examples):,} examples")
            console().print(_table(phase), highlight=False, markup=False)


def _table(phase: PhaseSeen) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("    example", no_wrap=True)
    table.add_column("row", justify="right")
    table.add_column("seen at step (epoch)")
    for example in phase.examples[:EXAMPLES]:
        table.add_row(f"    {phase.artifact}/{example.file}", str(example.row), _steps(example))
    if len(phase.examples) > EXAMPLES:
        table.add_row(f"    and {len(phase.examples) - EXAMPLES:,} more", "", "--json tells all")
    return table


def _steps(example: ExampleSeen) -> str:
    pairs = list(zip(example.steps, example.epochs, strict=True))
    told = [f"{step} ({epoch})" for step, epoch in pairs[:STEPS]] or ["never"]
    more = [f"and {len(pairs) - STEPS:,} more"] if len(pairs) > STEPS else []
    passed = [f"in a batch that was passed over: {example.passed_over}"] if example.passed_over else []
    return ", ".join([*told, *more, *passed])


def _plain(found: Trace) -> dict[str, Any]:
    documents = [_plain_document(document) for document in found.documents]
    return {"documents": documents, "more": found.more, "left_out": found.left_out}


def _plain_document(document: Traced) -> dict[str, Any]:
    row = document.row
    return {
        "id": row.id,
        "title": row.title,
        "url": row.url,
        "found_by": document.found_by,
        "source": row.source,
        "source_known": document.source_known,
        "source_files": [vars(file) for file in document.sources],
        "corpus": document.corpus,
        "file": document.file,
        "row": row.row,
        "models": [
            {
                "model": model.model,
                "held_out": model.held_out,
                "steps": model.steps,
                "phases": list(_plain_phases(model)),
            }
            for model in document.models
        ],
    }


def _plain_phases(model: ModelSeen) -> Iterator[dict[str, Any]]:
    for phase in model.phases:
        yield vars(phase) | {"examples": [vars(example) for example in phase.examples]}
