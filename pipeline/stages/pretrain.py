"""Examples to weights: writes the order, has a gang of ranks carry it out, and passes on what they journal."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import PretrainSlice
from pipeline.core.compute import Facts
from pipeline.core.errors import ConfigError
from pipeline.core.files import read_json
from pipeline.core.stage import Context, stage
from pipeline.core.store import Artifact

if TYPE_CHECKING:
    from pipeline.model.shape import Shape
    from pipeline.training.order import Order, Phase

ENTRY = "pipeline.training.rank:train"


@stage(version=3)
def pretrain(cfg: PretrainSlice, ctx: Context) -> Facts:
    """Pretrain an encoder: Hugging Face weights and config, curve.parquet (one row a step), curve.png.

    Raises: DataError if the loss is no longer finite; ComputeError if ranks keep dying.
    """
    from pipeline.training.follow import Follower, Watched
    from pipeline.training.picture import draw, spark
    from pipeline.training.throughput import perplexity

    order = _order(cfg, ctx)
    path = ctx.work / "order.json"
    order.write(path)
    watched = Watched(ctx.work, sum(phase.steps for phase in cfg.phases), order.shape, ctx.run.peak_tflops)
    ctx.compute.gang(ENTRY, path, Follower(watched, ctx.track.metrics, ctx.show).poll)
    curve = ctx.out / "curve.parquet"
    draw(curve, ctx.out / "curve.png", "pretraining")
    result = read_json(ctx.out / "result.json")
    return {
        **result,
        **perplexity(result),
        "curve": spark(curve),
        "unigram_entropy_nats": _entropy(cfg, ctx),
        "measured": read_json(ctx.work / "measured.json"),
    }


def _order(cfg: PretrainSlice, ctx: Context) -> "Order":
    from pipeline.text.encode import load, special_ids
    from pipeline.training.order import Masking, Optimizer, Order, Running, Schedule

    vocabulary = ctx.inputs["tokenizer"]
    folder = vocabulary.file("tokenizer.json").parent
    specials = special_ids(load(folder))
    return Order(
        job="pretrain",
        out=str(ctx.out),
        work=str(ctx.work),
        seed=cfg.seed,
        shape=_shape(cfg, ctx),
        init=str(ctx.inputs["init"].file("model.safetensors").parent.resolve()) if "init" in ctx.inputs else None,
        objectives=cfg.objectives,
        masking=Masking(
            mode=cfg.masking.mode,
            unit=cfg.masking.unit,
            rate=cfg.masking.rate,
            mask_id=specials[-1],
            special_ids=tuple(specials),
            tokenizer=str(folder),
        ),
        phases=_phases(cfg, ctx),
        optimizer=Optimizer(
            name=cfg.optimizer,
            learning_rate=cfg.learning_rate,
            matrix_learning_rate=cfg.matrix_learning_rate,
            beta1=cfg.beta1,
            beta2=cfg.beta2,
            eps=cfg.eps,
            weight_decay=cfg.weight_decay,
            clip=cfg.clip,
        ),
        schedule=Schedule(
            name=cfg.schedule,
            warmup_steps=cfg.warmup(sum(phase.steps for phase in cfg.phases)),
            decay_steps=cfg.decay_steps,
        ),
        precision=cfg.precision,
        evaluate_every=cfg.evaluate_every,
        evaluate_rows=cfg.evaluate_rows,
        run=Running(**ctx.run.training()),
    )


def _shape(cfg: PretrainSlice, ctx: Context) -> "Shape":
    """Give the shape of the model: the recipe's, or that of the one it goes on from.

    Raises: ConfigError if that one reads shorter sequences than a phase has.
    """
    from pipeline.model.shape import read_shape

    if cfg.model is not None:
        return cfg.model.shape(ctx.inputs["tokenizer"].manifest["facts"]["vocab_size"])
    shape = read_shape(ctx.inputs["init"].file("config.json").parent)
    require_short_phases(cfg, shape)
    return shape


def require_short_phases(cfg: PretrainSlice, shape: "Shape") -> None:
    """Refuse phases with sequences that are longer than the model reads that training goes on from.

    Raises: ConfigError.
    """
    for at, phase in enumerate(cfg.phases):
        if phase.sequence_length > shape.max_positions:
            raise ConfigError(
                f"recipe.phases.{at}.sequence_length={phase.sequence_length} exceeds the {shape.max_positions} positions "
                "of the model of recipe.pretrain.init; lower it"
            )


def _phases(cfg: PretrainSlice, ctx: Context) -> "tuple[Phase, ...]":
    from pipeline.training.order import Phase

    return tuple(
        Phase(
            examples=_files(ctx.inputs[f"examples-{phase.sequence_length}"], "train"),
            held_out=_held_out(ctx.inputs[f"examples-{phase.sequence_length}"]),
            sequence_length=phase.sequence_length,
            steps=phase.steps,
            global_batch=phase.global_batch,
            first_batch=phase.first_batch,
            batch_warmup_steps=phase.batch_warmup_steps,
        )
        for phase in cfg.phases
    )


def _held_out(examples: Artifact) -> tuple[str, ...]:
    """Give the held-out files, or none where no document was held out."""
    return _files(examples, "held_out") if examples.manifest["facts"]["held_out"]["examples"] else ()


def _files(artifact: Artifact, part: str) -> tuple[str, ...]:
    return tuple(str(Path(artifact.file(name)).resolve()) for name in artifact.names(part))


def _entropy(cfg: PretrainSlice, ctx: Context) -> float:
    last = ctx.inputs[f"examples-{cfg.phases[-1].sequence_length}"]
    return float(last.manifest["facts"]["unigram_entropy_nats"])
