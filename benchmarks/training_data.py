"""What the training benchmarks train on: real text made into examples by our own stages, or rows that are made up.

A *place* is a folder with `examples.json`, which says where its example files are. The same place and order number give both
sides the same rows and the same hidden tokens: the peers are fed from our loader.
"""

import json
import lzma
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.core.arrow import read_table, write_table
from pipeline.model.shape import SIZES, Shape
from pipeline.tables import Next, examples_schema
from pipeline.text.vocab import MASK, SPECIALS
from pipeline.training.order import Masking, Optimizer, Order, Phase, Running, Schedule

NOVELS = "books/english-novels-A/english-novels-A.tar.zst"
ABSTRACTS = "domain/arxiv-cs.IR/cs.IR.tsv.xz"
VOCABULARY = "oracle/bert-base-uncased-vocab/vocab.txt"
SMALL_TEXT_BYTES = 10_200_000
"""Of novels; with the abstracts 17.5 MB, as the small-scale setting of earlier measurements."""
SMALL_LENGTH, SMALL_VOCABULARY, SMALL_HELD_OUT = 64, 4096, 2000
SHORT = 0.1
SPECIAL_IDS = tuple(range(len(SPECIALS)))


@dataclass(frozen=True)
class Place:
    """Example files, and what an order must know of their vocabulary."""

    train: tuple[str, ...]  # relative to the folder where it is written down
    held_out: tuple[str, ...]
    length: int
    vocab_size: int
    mask_id: int
    special_ids: tuple[int, ...]
    text_mb: float
    unigram_nats: float

    def write(self, folder: Path) -> None:
        """Note the place in its folder."""
        (folder / "examples.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


def place_in(folder: Path) -> Place:
    """Read what `Place.write` wrote."""
    plain = json.loads((folder / "examples.json").read_text())
    files = {part: tuple(str(folder.absolute() / name) for name in plain[part]) for part in ("train", "held_out")}
    return Place(**plain | files | {"special_ids": tuple(plain["special_ids"])})


def pairs(data: Path, folder: Path, length: int, *, quick: bool) -> Path:
    """Make NSP examples of the novels (a tenth where quick) with Google's vocabulary; returns their place."""
    place = folder / f"pairs-{length}"
    if not (place / "examples.json").exists():
        raw = _novels(data, folder / "novels", every=10 if quick else 1)
        store = {"sources": [{"kind": "books", "path": str(raw)}]}
        tokenizer = {"path": str(data / VOCABULARY)}
        made = _made(folder, store, tokenizer, ["mlm", "nsp"], length, held_out=0.05 if quick else 0.02)
        found = _found(made, length, _bytes(raw))
        train, held_out = _copied(found.train, place / "train"), _copied(found.held_out, place / "held_out")
        replace(found, train=train, held_out=held_out).write(place)
    return place


def small(data: Path, folder: Path) -> Path:
    """Make rows of 64 tokens without padding, grouped as run_mlm of transformers does; returns their place."""
    place = folder / "small"
    if not (place / "examples.json").exists():
        raw = _novels(data, folder / "small-novels", bytes_=SMALL_TEXT_BYTES)
        with lzma.open(data / ABSTRACTS) as packed:
            (folder / "small-abstracts.tsv").write_bytes(packed.read())
        abstracts = {"kind": "csv", "path": str(folder / "small-abstracts.tsv"), "text_column": "abstract"}
        store = {"sources": [{"kind": "books", "path": str(raw)}, abstracts], "max_bad_fraction": 1.0}
        tokenizer = {"vocab_size": SMALL_VOCABULARY}
        made = _made(folder, store, tokenizer, ["mlm"], SMALL_LENGTH, held_out=0.03)
        place.mkdir(exist_ok=True)
        found = _found(made, SMALL_LENGTH, _bytes(raw, folder / "small-abstracts.tsv"))
        _grouped(found, place).write(place)
    return place


def made_up(folder: Path, length: int, rows: int, vocab_size: int) -> Path:
    """Draw rows of pairs with the lengths of real ones; returns their place."""
    place = folder / f"made-up-{length}-{vocab_size}"
    if (place / "examples.json").exists():
        return place
    place.mkdir(parents=True)
    draw, table = np.random.default_rng(0), []
    cls_id, sep_id = SPECIALS.index("[CLS]"), SPECIALS.index("[SEP]")
    for _ in range(rows):
        size = int(draw.integers(8, length + 1)) if draw.random() < SHORT else length - int(draw.integers(0, 4))
        ids = draw.integers(len(SPECIALS), vocab_size, size)
        ids[0], ids[size // 2], ids[-1] = cls_id, sep_id, sep_id
        table.append({"ids": ids, "second_at": size // 2 + 1, "label": int(draw.integers(2)), "shard": 0, "rows": [0]})
    files = (str(place / "train.arrow"), str(place / "held_out.arrow"))
    schema = examples_schema(vocab_size, static_masks=False)
    for path, part in zip(files, (table, table[: max(8, rows // 50)]), strict=True):
        write_table(Path(path), pa.Table.from_pylist(part, schema=schema), codec=None)
    found = Place(
        ("train.arrow",), ("held_out.arrow",), length, vocab_size, SPECIALS.index(MASK), SPECIAL_IDS, 0.0, 0.0
    )
    found.write(place)
    return place


def order_for(place: Path, out: Path, size: str, *, steps: int, global_batch: int, **changes: Any) -> Order:
    """Write an order over a place, linear warm-up over a tenth of its steps.

    `shape_`, `run_` and `optimizer_` before a name change these parts, all else the order itself; `evaluate` keeps the
    held-out rows.
    """
    here = place_in(place)
    layers, width, heads = SIZES[size]
    shape = Shape(layers, width, heads, here.vocab_size, max_positions=here.length)
    rate = changes.pop("learning_rate", 1e-4)
    given = {name: value for name, value in changes.items() if not name.startswith(("shape_", "run_", "optimizer_"))}
    of = {
        part: {name.removeprefix(part): value for name, value in changes.items() if name.startswith(part)}
        for part in ("shape_", "run_", "optimizer_")
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "work").mkdir(exist_ok=True)
    phase = Phase(here.train, here.held_out, here.length, steps=steps, global_batch=global_batch)
    order = Order(
        job="pretrain",
        out=str(out / "out"),
        work=str(out / "work"),
        seed=0,
        shape=replace(shape, **of["shape_"]),
        optimizer=Optimizer(learning_rate=rate, **of["optimizer_"]),
        schedule=Schedule(warmup_steps=max(1, steps // 10)),
        objectives=given.pop("objectives", ("mlm", "nsp")),
        masking=Masking("dynamic", "token", 0.15, here.mask_id, here.special_ids),
        phases=(phase if given.pop("evaluate", False) else replace(phase, held_out=()),),
        run=Running(**of["run_"]),
        **given,
    )
    order.write(out / "order.json")
    return order


def _copied(files: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Copy files into a folder of a place; returns their names relative to the place, which can then be carried away."""
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(f"{folder.name}/{Path(shutil.copy(file, folder)).name}" for file in files)


def _novels(data: Path, into: Path, *, every: int = 1, bytes_: int | None = None) -> Path:
    """Unpack every n-th novel, or as many as fit into some bytes."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    unpacked = subprocess.run(["zstd", "-d", "--long=27", "-c", data / NOVELS], check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", into], input=unpacked.stdout, check=True)
    size = 0
    for at, book in enumerate(sorted(into.rglob("*.txt"))):
        here = book.stat().st_size
        if at % every or (bytes_ is not None and size + here > bytes_):
            book.unlink()
        else:
            size += here
    return into


def _bytes(*paths: Path) -> float:
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return round(sum(file.stat().st_size for file in files if file.is_file()) / 1e6, 2)


def _made(
    folder: Path, corpus: dict[str, Any], tokenizer: dict[str, Any], objectives: list[str], length: int, held_out: float
) -> dict[str, Any]:
    """Make corpus, tokenizer and examples with our stages; returns the artifacts of the last two by name."""
    from data_making import Alone, Unrecorded

    from pipeline.config import Recipe
    from pipeline.core.files import Digests
    from pipeline.core.progress import Quiet
    from pipeline.core.stage import materialize
    from pipeline.core.store import Store
    from pipeline.plan import plan
    from pipeline.running import Run

    recipe = Recipe.model_validate(
        {
            "corpus": {"shards": 4, **corpus},
            "tokenizer": tokenizer,
            "examples": {"objectives": objectives, "held_out_fraction": held_out, "shards": 4},
            "phases": [{"sequence_length": length, "steps": 1, "global_batch": 2}],
        }
    )
    store, made = Store(folder / "store").open(), {}
    for step in plan(recipe, Digests(folder / "digests.jsonl").describe):
        if step.stage.name in ("corpus", "tokenizer", "examples"):
            made[step.stage.name], _ = materialize(step, store, Alone(), Unrecorded(), Quiet(), Run())
    return made


def _found(made: dict[str, Any], length: int, text_mb: float) -> Place:
    """Say where the examples of some artifacts are."""
    from pipeline.text.encode import load, special_ids

    tokenizer, examples = made["tokenizer"], made["examples"]
    specials = special_ids(load(tokenizer.file("tokenizer.json").parent))
    files = {part: tuple(str(examples.file(name)) for name in examples.names(part)) for part in ("train", "held_out")}
    facts = examples.manifest["facts"]
    return Place(
        **files,
        length=length,
        vocab_size=tokenizer.manifest["facts"]["vocab_size"],
        mask_id=specials[-1],
        special_ids=tuple(specials),
        text_mb=text_mb,
        unigram_nats=facts["unigram_entropy_nats"],
    )


def _grouped(here: Place, place: Path) -> Place:
    """Lay the tokens of examples one behind another, cut them into full rows, and shuffle these."""
    schema = examples_schema(here.vocab_size, static_masks=False)
    files: dict[str, tuple[str, ...]] = {}
    for part, most in (("train", None), ("held_out", SMALL_HELD_OUT)):
        rows = np.concatenate(list(_full_rows(getattr(here, part), here.special_ids, here.length)))
        rows = np.random.default_rng(0).permutation(rows)[:most]
        table = [{"ids": row, "second_at": len(row), "label": int(Next.NONE), "shard": 0, "rows": [0]} for row in rows]
        path = place / f"{part}.arrow"
        write_table(path, pa.Table.from_pylist(table, schema=schema), codec=None)
        files[part] = (path.name,)
    return replace(here, **files)  # type: ignore[arg-type]  # the names of two fields


def _full_rows(paths: tuple[str, ...], special_ids: tuple[int, ...], length: int) -> Iterator[Any]:
    """Yield [CLS] tokens [SEP] rows of exactly `length`, an array a file."""
    _, _, cls_id, sep_id, _ = special_ids
    for path in paths:
        column: Any = read_table(Path(path))["ids"]
        ids = np.concatenate([chunk.values.to_numpy() for chunk in column.chunks])
        ids = ids[~np.isin(ids, (cls_id, sep_id))]
        body = ids[: len(ids) // (length - 2) * (length - 2)].reshape(-1, length - 2)
        yield np.pad(np.pad(body, ((0, 0), (1, 0)), constant_values=cls_id), ((0, 0), (0, 1)), constant_values=sep_id)
