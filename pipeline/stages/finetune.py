"""Pretrained weights to scores on one labelled task: rows are encoded, ranks train, what they predict is written down."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import FinetuneSlice
from pipeline.core.arrow import read_table, write_rows
from pipeline.core.compute import Facts, Piece
from pipeline.core.errors import DataError
from pipeline.core.files import read_json, require_unchanged, write_json
from pipeline.core.seeds import rng
from pipeline.core.stage import Context, stage
from pipeline.tables import labelled_schema
from pipeline.tasks import TASKS, Row
from pipeline.tasks.metrics import METRICS
from pipeline.tasks.task import UNKNOWN

if TYPE_CHECKING:
    from pipeline.training.order import Order

ENTRY = "pipeline.training.rank:train"


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
        names = ("task", "sequence_length", "dev_fraction", "seed")
        settings = {name: getattr(self.config, name) for name in names}
        return {"files": files, "tokenizer": self.tokenizer_sha256, **settings}


@stage(version=2)
def finetune(cfg: FinetuneSlice, ctx: Context) -> Facts:
    """Fine-tune all weights on a task: scores.json, predictions.parquet with the texts, weights.

    Raises: DataError if a file of the task is malformed.
    """
    from pipeline.training.follow import Follower, Watched

    vocabulary = ctx.inputs["tokenizer"]
    job = EncodeRows(
        files=tuple((split, files[0].path, files[0].sha256) for split, files in ctx.sources.items()),
        tokenizer=vocabulary.file("tokenizer.json").parent,
        tokenizer_sha256=vocabulary.sha256("tokenizer.json"),
        config=cfg,
    )
    (rows,) = ctx.compute.map(encode_rows, [job], key=EncodeRows.what, what="tables")
    order = _order(cfg, ctx, rows)
    path = ctx.work / "order.json"
    order.write(path)
    watched = Watched(ctx.work, _steps(cfg, rows), order.shape, ctx.run.peak_tflops)
    ctx.compute.gang(ENTRY, path, Follower(watched, ctx.track.metrics, ctx.show).poll)
    return _report(cfg, ctx, rows)


def encode_rows(job: EncodeRows, out: Path) -> Facts:
    """Encode each split; where the task has no development set, hold back some training rows."""
    from pipeline.text.encode import load

    task = TASKS[job.config.task]
    splits = {split: list(task.read(path)) for split, path, _ in job.files}
    if "dev" not in splits:
        splits["train"], splits["dev"] = _held_back(splits["train"], job.config)
    _refuse_useless(splits, job.config.task)
    for _, path, sha256 in job.files:
        require_unchanged(path, sha256)
    tokenizer = load(job.tokenizer)
    for split, rows in splits.items():
        encoded = _encoded(tokenizer, rows, job.config.sequence_length)
        write_rows(out / f"{split}.arrow", labelled_schema(tokenizer.get_vocab_size()), encoded, codec=None)
    return {split: len(rows) for split, rows in splits.items()}


def _refuse_useless(splits: Mapping[str, Sequence[Row]], task: str) -> None:
    for split, rows in splits.items():
        if not rows:
            raise DataError(f"recipe.finetune: task {task} has no rows in its {split} split; give more rows")
        if split != "test" and any(row.label == UNKNOWN for row in rows):
            raise DataError(f"recipe.finetune: task {task} has no labels in its {split} split; give labelled rows")


def _held_back(rows: list[Row], cfg: FinetuneSlice) -> tuple[list[Row], list[Row]]:
    draws = rng(cfg.seed, "finetune", cfg.task, "dev").random(len(rows))
    train = [row for row, draw in zip(rows, draws, strict=True) if draw >= cfg.dev_fraction]
    dev = [row for row, draw in zip(rows, draws, strict=True) if draw < cfg.dev_fraction]
    return train, dev


def _encoded(tokenizer: Any, rows: Iterable[Row], sequence_length: int) -> Iterable[dict[str, Any]]:
    tokenizer.enable_truncation(sequence_length, strategy="longest_first")
    for row in rows:
        encoding = tokenizer.encode(row.first, row.second or None)
        second_at = encoding.type_ids.index(1) if row.second else len(encoding.ids)
        yield {
            "ids": encoding.ids,
            "second_at": second_at,
            "label": row.label,
            "first": row.first,
            "second": row.second,
        }


def _steps(cfg: FinetuneSlice, rows: Piece) -> int:
    return -(-int(rows.facts["train"]) * cfg.epochs // cfg.batch)


def _order(cfg: FinetuneSlice, ctx: Context, rows: Piece) -> "Order":
    from pipeline.model.shape import read_shape
    from pipeline.training.order import Classification, Optimizer, Order, Running, Schedule

    weights = ctx.inputs["pretrain"].file("model.safetensors").parent.resolve()
    splits = {split: str(rows.file(f"{split}.arrow").resolve()) for split in rows.facts}
    return Order(
        job="finetune",
        out=str(ctx.out),
        work=str(ctx.work),
        seed=cfg.seed,
        shape=read_shape(weights),
        init=str(weights),
        classification=Classification(
            **splits, classes=len(TASKS[cfg.task].labels), epochs=cfg.epochs, batch=cfg.batch
        ),
        optimizer=Optimizer(learning_rate=cfg.learning_rate),
        schedule=Schedule(warmup_steps=round(cfg.warmup_fraction * _steps(cfg, rows))),
        run=Running(**{**ctx.run.training(), "attention": "auto"}),  # in float32, which varlen does not take
    )


def _report(cfg: FinetuneSlice, ctx: Context, rows: Piece) -> Facts:
    """Put texts beside the predictions, and the scores into one small file."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path, result = ctx.out / "predictions.parquet", ctx.out / "result.json"
    predicted = pq.read_table(path)
    splits = [split for split in ("dev", "test") if split in rows.facts]
    texts = pa.concat_tables([read_table(rows.file(f"{split}.arrow")).select(["first", "second"]) for split in splits])
    for name in texts.column_names:
        predicted = predicted.append_column(name, texts[name])
    pq.write_table(predicted, path)
    dev = predicted.filter(pc.field("split") == "dev")
    labels, answers = (dev[name].to_numpy().tolist() for name in ("label", "predicted"))
    scores = {name: METRICS[name](labels, answers) for name in TASKS[cfg.task].metrics}
    report = {"task": cfg.task, "rows": dict(rows.facts), "dev": scores, **read_json(result)}
    write_json(ctx.out / "scores.json", report)
    result.unlink()
    return {**report, "measured": read_json(ctx.work / "measured.json")}
