"""A trace: from a document to the files that it was read from, the examples made of it, and the steps that saw them.

Nothing was written down for it while a model was trained: which rows make a batch is a pure function of the recipe, the
rows know their documents, and the manifest of the model names the batches that were passed over.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.arrow import read_rows
from pipeline.core.errors import ConfigError, StoreError
from pipeline.core.files import read_json
from pipeline.core.store import Artifact, Store
from pipeline.objectives.origins import made_of
from pipeline.starts import BEGINS, MODELS
from pipeline.text.clean import normalise
from pipeline.text.finding import NAMES, Row, about, find, one_of
from pipeline.training.exposure import PASSED_OVER, Course, Showings, showings
from pipeline.training.sampler import Ints, Sizes

MOST = 10
"""How many documents are traced where many match."""
NEAR = "near_duplicates.arrow"


@dataclass(frozen=True)
class OutsideFile:
    """A file that a corpus was read from."""

    name: str
    sha256: str
    path: str  # where it lay then


@dataclass(frozen=True)
class ExampleSeen:
    """An example: row `row` of a file, and when it was trained on."""

    file: str
    row: int
    steps: tuple[int, ...]  # from 1, as in the model's curve
    epochs: tuple[int, ...]  # of each of these steps: the how-manieth pass over all examples, from 1
    passed_over: int  # how often it was in a batch that training went back and past


@dataclass(frozen=True)
class PhaseSeen:
    """What a phase of pretraining saw of a document; `held_out` counts examples that no step trained on."""

    phase: int  # recipe.phases.N
    sequence_length: int
    artifact: str
    held_out: int
    examples: tuple[ExampleSeen, ...]


@dataclass(frozen=True)
class ModelSeen:
    """What a model saw of a document."""

    model: str
    phases: tuple[PhaseSeen, ...]

    @property
    def held_out(self) -> bool:
        """Tell whether the document was kept to measure by."""
        return any(phase.held_out for phase in self.phases)

    @property
    def steps(self) -> list[int]:
        """List the steps that trained on any of its examples."""
        return sorted({step for phase in self.phases for example in phase.examples for step in example.steps})


@dataclass(frozen=True)
class Traced:
    """A document, and what became of it."""

    row: Row
    found_by: str
    corpus: str
    file: str
    sources: tuple[OutsideFile, ...]
    source_known: bool  # whether `sources` hold the document; else one of them does
    models: tuple[ModelSeen, ...]


@dataclass(frozen=True)
class Trace:
    """The documents that were traced, how many more match, and what is known of those of that name that were left out."""

    documents: tuple[Traced, ...]
    more: int
    left_out: tuple[str, ...]


def trace(store: Store, wanted: str, model: str | None = None, *, most: int = MOST) -> Trace:
    """Trace the documents that an id, url, title or fragment of text names, through one model or all of the store.

    Raises: ConfigError if it names none, or `model` names no model; StoreError if a file of the lineage is gone.
    """
    if not normalise(wanted):
        raise ConfigError("TEXT: is empty; give an id, a url, a title, or words as they stand in the text")
    traced: list[Traced] = []
    left_out: list[str] = []
    more = 0
    corpora = _corpora(store, model)
    for corpus, models in corpora:
        found = find(_paths(corpus, "documents"), wanted, most=most)
        traced += _traced(store, corpus, models, found.rows, found.by)
        more += found.total - len(found.rows)
        if found.by == "text":  # none has that name
            left_out += _left_out(store, corpus, {wanted, normalise(wanted)})
    if not traced:
        raise ConfigError(_nothing(wanted, [corpus for corpus, _ in corpora], left_out))
    return Trace(tuple(traced), more, tuple(left_out))


def _corpora(store: Store, model: str | None) -> list[tuple[Artifact, list[Artifact]]]:
    """List the corpora to search, each with the models that are asked about."""
    models = store.all("pretrain") if model is None else _pretrained(store, model)
    made_from = [(made, store.get(_examples_of(store, made)[0].manifest["inputs"]["corpus"])) for made in models]
    corpora = store.all("corpus") if model is None else list({its.key: its for _, its in made_from}.values())
    if not corpora:
        raise ConfigError(f"run.store={store.root}: holds no corpus; name another folder with --store")
    return [(corpus, [made for made, its in made_from if its.key == corpus.key]) for corpus in corpora]


def _pretrained(store: Store, reference: str) -> list[Artifact]:
    """List the pretrainings that a model went through, the first one first.

    Raises: ConfigError if it is no model, or was shown no documents that the store knows of.
    """
    asked = store.get(reference)
    name = f"{asked.label}/{asked.key}"
    if asked.label not in MODELS:
        models = ", ".join(f"{made.label}/{made.key}" for made in store.all("pretrain")) or "not made yet"
        raise ConfigError(f"{name}: is not a model; models are {models}")
    line = [asked]
    while begin := next(
        (line[0].manifest["inputs"][role] for role in BEGINS if role in line[0].manifest["inputs"]), ""
    ):
        line.insert(0, store.get(begin))
    found = [made for made in line if made.label == "pretrain"]
    if found:
        return found
    if line[0].label == "adopt":
        first = line[0]
        about = (
            "was made elsewhere" if first.key == asked.key else f"began as adopt/{first.key}, which was made elsewhere"
        )
        raise ConfigError(f"{name}: {about}; which documents that model has seen is not known")
    raise ConfigError(
        f"{name}: began with random weights and was never pretrained; it has seen the rows of its task alone"
    )


def _examples_of(store: Store, model: Artifact) -> list[Artifact]:
    """Give the examples of each phase of a model."""
    inputs = model.manifest["inputs"]
    return [store.get(inputs[f"examples-{phase['sequence_length']}"]) for phase in model.manifest["config"]["phases"]]


def _paths(artifact: Artifact, folder: str) -> list[Path]:
    paths = [artifact.path / name for name in artifact.names(folder)]
    if gone := next((path for path in paths if not path.is_file()), None):
        raise StoreError(f"{gone}: is gone; pretrace audit {artifact.key} names all that is missing")
    return paths


def _traced(
    store: Store, corpus: Artifact, models: Sequence[Artifact], rows: Sequence[Row], found_by: str
) -> Iterator[Traced]:
    if not rows:
        return
    held = _held(store, corpus, rows)
    seen = [_seen(store, model, [(row.shard, row.row) for row in rows]) for model in models]
    names = corpus.names("documents")
    for at, row in enumerate(rows):
        sources = _candidates(corpus, row.source)
        known = tuple(file for file in sources if file.sha256 in held[row[:4]])
        yield Traced(
            row,
            found_by,
            f"{corpus.label}/{corpus.key}",
            names[row.shard],
            known or sources,
            bool(known) or len(sources) == 1,
            tuple(of_model[at] for of_model in seen),
        )


def _candidates(corpus: Artifact, source: str) -> tuple[OutsideFile, ...]:
    """List the files of the sources of a name, in the order in which they were read."""
    manifest = corpus.manifest
    roles = [
        f"sources.{at}"
        for at, config in enumerate(manifest["config"]["sources"])
        if source == (config["name"] or config["kind"])
    ]
    return tuple(
        OutsideFile(entry["name"], entry["sha256"], path)
        for role in roles
        for entry, path in zip(manifest["sources"][role], manifest["made"]["sources"][role], strict=True)
    )


def _readings(store: Store, corpus: Artifact) -> Iterator[tuple[Path, str]]:
    """Yield the index of each reading of the corpus's files that is still in the store, and the file's digest."""
    roles = [role for role in corpus.manifest["sources"] if role.startswith("sources.")]
    digests = {entry["sha256"] for role in roles for entry in corpus.manifest["sources"][role]}
    for note in sorted(store.root.glob("pieces/corpus/*/piece.json")):
        origin = read_json(note)["facts"].get("origin")
        if origin in digests:
            yield note.parent / "index.arrow", origin


def _held(store: Store, corpus: Artifact, rows: Sequence[Row]) -> Mapping[tuple[str, ...], set[str]]:
    """Give the digests of the files that hold each document: the same text, source, title and url."""
    held: dict[tuple[str, ...], set[str]] = {row[:4]: set() for row in rows}
    wanted = one_of((row.id for row in rows), ["id"])
    for index, origin in _readings(store, corpus):
        for row in about(index, wanted):
            held.get(tuple(row.values()), set()).add(origin)
    return held


@dataclass(frozen=True)
class _Made:
    """The examples made of some documents, in an artifact of examples."""

    artifact: Artifact
    rows_D: list[Ints]  # those to train on, counted over all files
    held_out_D: list[int]

    @cached_property
    def ends(self) -> Ints:
        """Give where each file ends, counted over all."""
        rows = {entry["name"]: entry["rows"] for entry in self.artifact.manifest["files"]}
        return np.cumsum([rows[name] for name in self.artifact.names("train")])

    def place(self, number: int) -> tuple[str, int]:
        """Give the file and the row in it of an example."""
        at = int(np.searchsorted(self.ends, number, side="right"))
        return self.artifact.names("train")[at], number - (int(self.ends[at - 1]) if at else 0)


def _made_of(artifact: Artifact, documents: Sequence[tuple[int, int]]) -> _Made:
    held_out = made_of(_paths(artifact, "held_out"), documents)
    return _Made(artifact, made_of(_paths(artifact, "train"), documents), [len(rows) for rows in held_out])


def _seen(store: Store, model: Artifact, documents: Sequence[tuple[int, int]]) -> list[ModelSeen]:
    """Say for each document what a model saw of it."""
    examples = _examples_of(store, model)
    made = {artifact.key: _made_of(artifact, documents) for artifact in examples}
    phases = [
        _in_phase(made[artifact.key], _course(model.manifest, at, made[artifact.key]))
        for at, artifact in enumerate(examples)
    ]
    return [ModelSeen(f"{model.label}/{model.key}", seen) for seen in zip(*phases, strict=True)]


def _course(manifest: Mapping[str, Any], at: int, made: _Made) -> Course:
    """Say how a phase was fed, from what its model's manifest tells."""
    phases = manifest["config"]["phases"]
    phase = phases[at]
    return Course(
        rows=int(made.ends[-1]),
        sizes=Sizes(phase["global_batch"], phase["first_batch"], phase["batch_warmup_steps"]),
        seed=manifest["config"]["seed"],
        phase=at,
        steps=phase["steps"],
        before=sum(earlier["steps"] for earlier in phases[:at]),
        skipped=frozenset(one["batch"] for one in manifest["facts"]["skipped_batches"] if one["phase"] == at),
    )


def _in_phase(made: _Made, course: Course) -> Iterator[PhaseSeen]:
    """Say for each document what a phase saw of it."""
    shown = showings(course, np.unique(np.concatenate(made.rows_D))).by_row()
    for rows, held_out in zip(made.rows_D, made.held_out_D, strict=True):
        yield PhaseSeen(
            course.phase,
            made.artifact.manifest["config"]["sequence_length"],
            f"{made.artifact.label}/{made.artifact.key}",
            held_out,
            tuple(_example(made, number, shown.get(number)) for number in rows.tolist()),
        )


def _example(made: _Made, number: int, shown: Showings | None) -> ExampleSeen:
    pairs = list(zip(shown.step_S.tolist(), shown.epoch_S.tolist(), strict=True)) if shown else []
    trained = [(step, epoch) for step, epoch in pairs if step != PASSED_OVER]
    steps, epochs = (tuple(values) for values in zip(*trained, strict=True)) if trained else ((), ())
    return ExampleSeen(*made.place(number), steps, epochs, passed_over=len(pairs) - len(trained))


def _nothing(wanted: str, corpora: Iterable[Artifact], left_out: Sequence[str]) -> str:
    names = ", ".join(f"{corpus.label}/{corpus.key}" for corpus in corpora)
    hint = "give an id, a url, a title, or words as they stand in its text"
    return "; ".join([f"{wanted}: is no document of {names}", *(left_out or [hint])])


def _left_out(store: Store, corpus: Artifact, names: set[str]) -> list[str]:
    """Tell which documents of that id, url or title were read, and why the corpus has them not."""
    read = {row["id"] for index, _ in _readings(store, corpus) for row in about(index, one_of(names, NAMES))}
    near = read_rows(corpus.path / NEAR) if (corpus.path / NEAR).is_file() else iter(())
    kept_for = {row["removed"]: row["kept"] for row in near if row["removed"] in read or row["removed"] in names}
    lines = [f"{name} was left out: almost the same as {kept}, which is kept" for name, kept in kept_for.items()]
    by_id = one_of(read, ["id"])
    same = {row["id"] for path in _paths(corpus, "documents") for row in about(path, by_id)} if read else set()
    lines += [f"{name} was left out: a document of the same text is kept by this id" for name in sorted(same)]
    other = sorted(read - same - set(kept_for))
    return lines + [f"{name} was read and is not in it: excluded, or read with other settings" for name in other]
