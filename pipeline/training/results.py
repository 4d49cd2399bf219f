"""What a finished job leaves: weights in the Hugging Face format, the curve, the result, and predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from pipeline.core.files import write_json
from pipeline.model import huggingface
from pipeline.model.heads import Learner
from pipeline.model.huggingface import CLASSIFICATION
from pipeline.training.batches import NOTHING, Loader, MicroBatch, Rows
from pipeline.training.checkpoint import State
from pipeline.training.guard import Rewind
from pipeline.training.jobs import Job
from pipeline.training.journal import Line, write_curve
from pipeline.training.order import Order
from pipeline.training.throughput import measured


def write_results(order: Order, job: Job, state: State, lines: list[Line], rewinds: tuple[Rewind, ...]) -> None:
    """Write everything into `out`, and what depends on the clock into `work/measured.json`."""
    out = Path(order.out)
    out.mkdir(parents=True, exist_ok=True)
    huggingface.save(out, order.shape, state.weights)
    write_curve(lines, out / "curve.parquet")
    write_json(out / "result.json", _result(order, state, lines, rewinds))
    write_json(Path(order.work) / "measured.json", measured([line for line in lines if "loss" in line]))
    if order.classification is not None:
        parts = {"dev": order.classification.dev, "test": order.classification.test}
        tables = [_predict(order, job, state, name, path) for name, path in parts.items() if path is not None]
        pq.write_table(pa.concat_tables(tables), out / "predictions.parquet")


def _result(order: Order, state: State, lines: list[Line], rewinds: tuple[Rewind, ...]) -> dict[str, Any]:
    steps = [line for line in lines if "loss" in line]
    held_out = [line for line in lines if "loss" not in line and "event" not in line]
    skip = ("step", "phase")
    return {
        "job": order.job,
        "steps": len(steps),
        "updates": state.updates,
        "tokens": sum(line["tokens"] for line in steps),
        "sequences": sum(line["sequences"] for line in steps),
        "parameters": sum(tensor.numel() for tensor in state.weights.values()),
        "rewinds": len(rewinds),
        "skipped_batches": [{"phase": one.phase, "batch": one.batch} for one in rewinds],
        "loss": steps[-1]["loss"],
        **({name: value for name, value in held_out[-1].items() if name not in skip} if held_out else {}),
    }


@torch.no_grad()
def _predict(order: Order, job: Job, state: State, split: str, path: str) -> pa.Table:
    """Classify every row, in the order of the file; done by one rank, so as not to depend on how many there were."""
    learner = Learner(order.shape, job.objectives)
    learner.load_state_dict(state.weights)
    learner.eval()
    rows = Rows([path], nothing=-1, longest=order.shape.max_positions)
    loader = Loader(rows, None, rank=0, ranks=1, micro_batch=32, device=torch.device("cpu"))
    probability_NC = np.zeros((len(rows), order.classification.classes if order.classification else 0), np.float32)
    for batch in loader.all_rows():
        probability_NC[batch.rows_B] = _probabilities(learner, batch).numpy()
    label_N = np.where(rows.label_N == NOTHING, -1, rows.label_N)
    return pa.table(
        {
            "split": [split] * len(rows),
            "row": np.arange(len(rows)),
            "label": label_N,
            "predicted": probability_NC.argmax(-1),
            "probabilities": list(probability_NC),
        }
    )


def _probabilities(learner: Learner, batch: MicroBatch) -> Tensor:
    hidden_BTD = learner.encoder(batch.ids_BT, batch.segments_BT, batch.attended_BT)
    logits_BC: Tensor = learner.heads[CLASSIFICATION](hidden_BTD)
    return logits_BC.softmax(-1)
