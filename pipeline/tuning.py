"""Tuning a model on a task: what the stages that do it share.

files -> encoded rows -> an order for ranks -> [training] -> scores.json, predictions.parquet, mistakes.parquet, dev.png
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import SCRATCH, FinetuneSlice
from pipeline.core.arrow import read_table, rows_of, write_rows
from pipeline.core.compute import Facts, Piece
from pipeline.core.errors import ConfigError
from pipeline.core.files import read_json, require_unchanged, write_json
from pipeline.core.seeds import rng
from pipeline.core.stage import Context
from pipeline.tables import encoded_schema
from pipeline.tasks import TASKS, Row, Task
from pipeline.tasks.answers import find_labels
from pipeline.tasks.splits import hold_back
from pipeline.tasks.task import Columns, Limits, Outcome, Report

if TYPE_CHECKING:
    from pipeline.model.shape import Shape
    from pipeline.training.order import Order

HELD_BACK = ("dev_fraction", "seed")
"""Settings that say which training rows are held back where there is no development set."""
READ = ("task", "text_column", "second_column", "label_column", *HELD_BACK)
"""Settings that say which rows there are."""
CUT = ("sequence_length", "window_stride", "max_answer_tokens")
"""Settings that say what a model sees of them."""
Splits = Mapping[str, Sequence[Row]]
Files = tuple[tuple[str, Path, str], ...]
"""Of a task: (split, path, sha256)."""


@dataclass(frozen=True)
class EncodeRows:
    """The splits of a task, to be encoded."""

    files: Files
    tokenizer: Path
    tokenizer_sha256: str
    config: FinetuneSlice

    def what(self) -> dict[str, Any]:
        """Give what the encoded rows depend on."""
        files = [[split, sha256] for split, _, sha256 in self.files]
        settings = {name: getattr(self.config, name) for name in (*READ, *CUT)}
        return {"files": files, "tokenizer": self.tokenizer_sha256, **settings}


@dataclass(frozen=True)
class Begin:
    """What tuning begins from."""

    init: str
    """`scratch`, or the artifact's label and key."""
    folder: str | None
    """Where its weights are."""
    sha256: str | None
    """Of the weights."""
    shape: "Shape"


@dataclass(frozen=True)
class Site:
    """Where one training works, and how."""

    out: Path
    work: Path
    running: Mapping[str, Any]
    """See `pipeline.running.Run.training`."""


def files_of(ctx: Context) -> Files:
    """List the files of the task."""
    return tuple((split, files[0].path, files[0].sha256) for split, files in ctx.sources.items())


def encoded_rows(cfg: FinetuneSlice, ctx: Context) -> Piece:
    """Encode each split of the task, or find it encoded."""
    vocabulary = ctx.inputs["tokenizer"]
    job = EncodeRows(
        files=files_of(ctx),
        tokenizer=vocabulary.file("tokenizer.json").parent,
        tokenizer_sha256=vocabulary.sha256("tokenizer.json"),
        config=cfg,
    )
    (rows,) = ctx.compute.map(encode_rows, [job], key=EncodeRows.what, what="tables")
    return rows


def encode_rows(job: EncodeRows, out: Path) -> Facts:
    """Encode each split; where the task has no development set, hold back some training rows."""
    from pipeline.tasks import kinds
    from pipeline.text.encode import load

    task, splits = read_unchanged(job.config, job.files)
    labels = find_labels(task, {split: path for split, path, _ in job.files}, splits)
    tokenizer = load(job.tokenizer)
    schema = encoded_schema(task.kind, tokenizer.get_vocab_size())
    for split, rows in splits.items():
        encoded = kinds.encode(task, tokenizer, rows, labels, _limits(job.config))
        write_rows(out / f"{split}.arrow", schema, encoded, codec=None)
    return {"rows": {split: len(rows) for split, rows in splits.items()}, "labels": list(labels)}


def read_splits(cfg: FinetuneSlice, files: Mapping[str, Path]) -> tuple[Task, Splits]:
    """Read the rows of each split; where there is no development set, hold back some training rows.

    Raises: DataError if a file is malformed.
    """
    columns = Columns(cfg.text_column, cfg.second_column, cfg.label_column)
    task = TASKS[cfg.task].with_columns(columns)
    splits = {split: list(task.read(path)) for split, path in files.items()}
    if "dev" not in splits:
        splits["train"], splits["dev"] = _held_back(splits["train"], cfg)
    return task, splits


def read_unchanged(cfg: FinetuneSlice, files: Files) -> tuple[Task, Splits]:
    """Read the rows of each split from files that are still those of the plan.

    Raises: DataError if one is malformed, or is another by now.
    """
    task, splits = read_splits(cfg, {split: path for split, path, _ in files})
    for _, path, sha256 in files:
        require_unchanged(path, sha256)
    return task, splits


def _held_back(rows: list[Row], cfg: FinetuneSlice) -> tuple[list[Row], list[Row]]:
    return hold_back(rows, cfg.dev_fraction, rng(cfg.seed, "finetune", cfg.task, "dev"))


def _limits(cfg: FinetuneSlice) -> Limits:
    return Limits(**{name: getattr(cfg, name) for name in CUT})


def begin_of(cfg: FinetuneSlice, ctx: Context) -> Begin:
    """Say what tuning begins from: random weights of the recipe's shape, or a model.

    Raises: ConfigError if rows are longer than the model reads.
    """
    from pipeline.model.shape import read_shape

    start = ctx.inputs.get("pretrain")
    if cfg.model is not None or start is None:
        assert cfg.model is not None
        return Begin(SCRATCH, None, None, cfg.model.shape(ctx.inputs["tokenizer"].manifest["facts"]["vocab_size"]))
    folder = start.file("model.safetensors").parent.resolve()
    shape = read_shape(start.file("config.json").parent)
    require_short_rows(cfg, shape)
    return Begin(f"{start.label}/{start.key}", str(folder), start.sha256("model.safetensors"), shape)


def require_short_rows(cfg: FinetuneSlice, shape: "Shape") -> None:
    """Refuse rows that are longer than the model reads.

    Raises: ConfigError.
    """
    if cfg.sequence_length > shape.max_positions:
        raise ConfigError(
            f"recipe.finetune: task {cfg.task} has sequence_length={cfg.sequence_length}, which exceeds the "
            f"{shape.max_positions} positions of the model it starts from; lower it"
        )


def steps_of(cfg: FinetuneSlice, rows: Piece) -> int:
    """Count the optimizer steps."""
    units = (rows_of(rows.file("train.arrow")) or 0) // TASKS[cfg.task].choices
    return -(-units * cfg.epochs // cfg.batch)


def order_for(cfg: FinetuneSlice, rows: Piece, begin: Begin, site: Site, seed: int) -> "Order":
    """Say what ranks have to do; `seed` is that of training alone, `cfg.seed` says which rows are held back."""
    from pipeline.training.order import Asked, Optimizer, Order, Running, Schedule, Tuning

    paths = {split: str(rows.file(f"{split}.arrow").resolve()) for split in rows.facts["rows"]}
    return Order(
        job="finetune",
        out=str(site.out),
        work=str(site.work),
        seed=seed,
        shape=begin.shape,
        init=begin.folder,
        tuning=Tuning(
            kind=TASKS[cfg.task].kind,
            train=paths["train"],
            dev=paths["dev"],
            predicted=tuple(Asked(split, path) for split, path in paths.items() if split != "train"),
            labels=tuple(rows.facts["labels"]),
            choices=TASKS[cfg.task].choices,
            epochs=cfg.epochs,
            batch=cfg.batch,
            layer_decay=cfg.layer_decay,
            trained=cfg.trained,
        ),
        optimizer=Optimizer(learning_rate=cfg.learning_rate),
        schedule=Schedule(warmup_steps=round(cfg.warmup_fraction * steps_of(cfg, rows))),
        run=Running(**{**site.running, "attention": "auto"}),  # in float32, which varlen does not take
    )


def report(cfg: FinetuneSlice, files: Files, rows: Piece, begin: Begin, order: "Order") -> Facts:
    """Judge what was predicted: tables with texts, and the scores in one small file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out, work = Path(order.out), Path(order.work)
    reports = _reports(cfg, files, rows, order)
    tables = [one.table.append_column("split", pa.array([name] * len(one.table))) for name, one in reports.items()]
    pq.write_table(pa.concat_tables(tables), out / "predictions.parquet")
    pq.write_table(reports["dev"].mistakes, out / "mistakes.parquet")
    _draw(reports["dev"], out / "dev.png", cfg.task)
    result = out / "result.json"
    facts = {
        "task": cfg.task,
        "init": begin.init,
        "rows": dict(rows.facts["rows"]),
        **{name: one.scores for name, one in reports.items() if one.scores},
        "tuned": reports["dev"].tuned,
        **read_json(result),
    }
    write_json(out / "scores.json", facts)
    result.unlink()
    return {**facts, "measured": read_json(work / "measured.json")}


def _reports(cfg: FinetuneSlice, files: Files, rows: Piece, order: "Order") -> dict[str, Report]:
    """Report on each split, dev first: what is tuned there holds for the others."""
    from pipeline.tasks import kinds
    from pipeline.training.predictions import predictions_path

    assert order.tuning is not None
    task, splits = read_unchanged(cfg, files)
    reports: dict[str, Report] = {}
    for asked in sorted(order.tuning.predicted, key=lambda one: one.name):
        encoded, predicted = read_table(Path(asked.path)), read_table(predictions_path(order, asked))
        labels, tuned = tuple(rows.facts["labels"]), reports["dev"].tuned if reports else None
        outcome = Outcome(splits[asked.name], encoded, predicted, labels, _limits(cfg), tuned)
        reports[asked.name] = kinds.report(task, outcome)
    return reports


def _draw(report: Report, path: Path, task: str) -> None:
    from pipeline.tasks.drawing import draw

    if report.picture is not None:
        draw(report.picture, path, task)
