"""A model to scores on one labelled task: rows are encoded, ranks train, what they predict is judged and written down."""

from pipeline.config import FinetuneSlice
from pipeline.core.compute import Facts
from pipeline.core.stage import Context, stage
from pipeline.tuning import Site, begin_of, encoded_rows, files_of, order_for, report, steps_of

ENTRY = "pipeline.training.rank:train"


@stage(version=5)
def finetune(cfg: FinetuneSlice, ctx: Context) -> Facts:
    """Fine-tune on a task: scores.json, predictions.parquet with the texts, mistakes.parquet, a picture, weights.

    Raises: DataError if a file of the task is malformed; ConfigError if rows are longer than the model reads.
    """
    from pipeline.training.follow import Follower, Watched

    begin = begin_of(cfg, ctx)
    rows = encoded_rows(cfg, ctx)
    order = order_for(cfg, rows, begin, Site(ctx.out, ctx.work, ctx.run.training()), cfg.seed)
    path = ctx.work / "order.json"
    order.write(path)
    watched = Watched(ctx.work, steps_of(cfg, rows), order.shape, ctx.run.peak_tflops)
    ctx.compute.gang(ENTRY, path, Follower(watched, ctx.track.metrics, ctx.show).poll)
    return report(cfg, files_of(ctx), rows, begin, order)
