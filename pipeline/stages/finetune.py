"""A model to scores on one labelled task: rows are encoded, ranks train, what they predict is judged and written down."""

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
from pipeline.core.stage import Context, stage
from pipeline.tables import encoded_schema
from pipeline.tasks import TASKS, Row, Task
from pipeline.tasks.answers import find_labels
from pipeline.tasks.splits import hold_back
from pipeline.tasks.task import Columns, Limits, Outcome, Report

if TYPE_CHECKING:
    from pipeline.model.shape import Shape
    from pipeline.training.order import Order

ENTRY = "pipeline.training.rank:train"
READ = ("task", "text_column", "second_column", "label_column", "dev_fraction", "seed")
"""Settings that say which rows there are."""
CUT = ("sequence_length", "window_stride", "max_answer_tokens")
"""Settings that say what a model sees of them."""
Splits = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class EncodeRows:
    """The splits of a task, to be encoded."""

    files: tuple[tuple[str, Path, str], ...]
    """(split, path, sha256)"""
    tokenizer: Path
    tokenizer_sha256: str
    config: FinetuneSlice

    def what(self) -> dict[str, Any]:
        """Give what the encoded rows depend on."""
        files = [[split, sha256] for split, _, sha256 in self.files]
        settings = {name: getattr(self.config, name) for name in (*READ, *CUT)}
        return {"files": files, "tokenizer": self.tokenizer_sha256, **settings}


@stage(version=3)
def finetune(cfg: FinetuneSlice, ctx: Context) -> Facts:
    """Fine-tune on a task: scores.json, predictions.parquet with the texts, mistakes.parquet, a picture, weights.

    Raises: DataError if a file of the task is malformed; ConfigError if rows are longer than the model reads.
    """
    from pipeline.training.follow import Follower, Watched

    vocabulary = ctx.inputs["tokenizer"]
    shape = _shape(cfg, ctx)
    job = EncodeRows(
        files=tuple((split, files[0].path, files[0].sha256) for split, files in ctx.sources.items()),
        tokenizer=vocabulary.file("tokenizer.json").parent,
        tokenizer_sha256=vocabulary.sha256("tokenizer.json"),
        config=cfg,
    )
    (rows,) = ctx.compute.map(encode_rows, [job], key=EncodeRows.what, what="tables")
    order = _order(cfg, ctx, rows, shape)
    path = ctx.work / "order.json"
    order.write(path)
    watched = Watched(ctx.work, _steps(cfg, rows), order.shape, ctx.run.peak_tflops)
    ctx.compute.gang(ENTRY, path, Follower(watched, ctx.track.metrics, ctx.show).poll)
    return _report(cfg, ctx, rows, order)


def encode_rows(job: EncodeRows, out: Path) -> Facts:
    """Encode each split; where the task has no development set, hold back some training rows."""
    from pipeline.text.encode import load

    files = {split: path for split, path, _ in job.files}
    task, splits = read_splits(job.config, files)
    labels = find_labels(task, files, splits)
    for _, path, sha256 in job.files:
        require_unchanged(path, sha256)
    tokenizer = load(job.tokenizer)
    schema = encoded_schema(task.kind, tokenizer.get_vocab_size())
    for split, rows in splits.items():
        encoded = task.encode(tokenizer, rows, labels, _limits(job.config))
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


def _held_back(rows: list[Row], cfg: FinetuneSlice) -> tuple[list[Row], list[Row]]:
    return hold_back(rows, cfg.dev_fraction, rng(cfg.seed, "finetune", cfg.task, "dev"))


def _limits(cfg: FinetuneSlice) -> Limits:
    return Limits(**{name: getattr(cfg, name) for name in CUT})


def _shape(cfg: FinetuneSlice, ctx: Context) -> "Shape":
    """Give the shape of the model that is tuned: the recipe's, or that of the one it starts from."""
    from pipeline.model.shape import read_shape

    if cfg.model is not None:
        return cfg.model.shape(ctx.inputs["tokenizer"].manifest["facts"]["vocab_size"])
    shape = read_shape(ctx.inputs["pretrain"].file("config.json").parent)
    if cfg.sequence_length > shape.max_positions:
        raise ConfigError(
            f"recipe.finetune: task {cfg.task} has sequence_length={cfg.sequence_length}, which exceeds the "
            f"{shape.max_positions} positions of the model it starts from; lower it"
        )
    return shape


def _steps(cfg: FinetuneSlice, rows: Piece) -> int:
    units = (rows_of(rows.file("train.arrow")) or 0) // TASKS[cfg.task].choices
    return -(-units * cfg.epochs // cfg.batch)


def _order(cfg: FinetuneSlice, ctx: Context, rows: Piece, shape: "Shape") -> "Order":
    from pipeline.training.order import Asked, Optimizer, Order, Running, Schedule, Tuning

    paths = {split: str(rows.file(f"{split}.arrow").resolve()) for split in rows.facts["rows"]}
    start = ctx.inputs.get("pretrain")
    return Order(
        job="finetune",
        out=str(ctx.out),
        work=str(ctx.work),
        seed=cfg.seed,
        shape=shape,
        init=None if start is None else str(start.file("model.safetensors").parent.resolve()),
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
        schedule=Schedule(warmup_steps=round(cfg.warmup_fraction * _steps(cfg, rows))),
        run=Running(**{**ctx.run.training(), "attention": "auto"}),  # in float32, which varlen does not take
    )


def _report(cfg: FinetuneSlice, ctx: Context, rows: Piece, order: "Order") -> Facts:
    """Judge what was predicted: tables with texts, and the scores in one small file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    reports = _reports(cfg, ctx, rows, order)
    tables = [one.table.append_column("split", pa.array([name] * len(one.table))) for name, one in reports.items()]
    pq.write_table(pa.concat_tables(tables), ctx.out / "predictions.parquet")
    pq.write_table(reports["dev"].mistakes, ctx.out / "mistakes.parquet")
    _draw(reports["dev"], ctx.out / "dev.png")
    result, start = ctx.out / "result.json", ctx.inputs.get("pretrain")
    facts = {
        "task": cfg.task,
        "init": SCRATCH if start is None else f"{start.label}/{start.key}",
        "rows": dict(rows.facts["rows"]),
        **{name: one.scores for name, one in reports.items() if one.scores},
        "tuned": reports["dev"].tuned,
        **read_json(result),
    }
    write_json(ctx.out / "scores.json", facts)
    result.unlink()
    return {**facts, "measured": read_json(ctx.work / "measured.json")}


def _reports(cfg: FinetuneSlice, ctx: Context, rows: Piece, order: "Order") -> dict[str, Report]:
    """Report on each split, dev first: what is tuned there holds for the others."""
    from pipeline.training.predictions import predictions_path

    assert order.tuning is not None
    task, splits = read_splits(cfg, {split: files[0].path for split, files in ctx.sources.items()})
    reports: dict[str, Report] = {}
    for asked in sorted(order.tuning.predicted, key=lambda one: one.name):
        encoded, predicted = read_table(Path(asked.path)), read_table(predictions_path(order, asked))
        labels, tuned = tuple(rows.facts["labels"]), reports["dev"].tuned if reports else None
        outcome = Outcome(splits[asked.name], encoded, predicted, labels, _limits(cfg), tuned)
        reports[asked.name] = task.report(outcome)
    return reports


def _draw(report: Report, path: Path) -> None:
    from pipeline.tasks.drawing import draw

    if report.picture is not None:
        draw(report.picture, path)
