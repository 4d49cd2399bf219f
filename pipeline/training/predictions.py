"""What a finished model says of the rows of a task: one table a split, by kind of task.

One rank asks it, so that what is written does not depend on how many there were. A split whose table is there, by the
same weights, is not asked again.
Letters: B rows, T tokens, C classes or choices, Q questions.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pipeline.core.arrow import read_table, write_table
from pipeline.core.files import sha256_of
from pipeline.model.heads import Hidden, Learner
from pipeline.objectives.labelled import by_row
from pipeline.tables import predicted_schema
from pipeline.training.batches import Loader, MicroBatch
from pipeline.training.checkpoint import State
from pipeline.training.jobs import Job
from pipeline.training.labels import open_rows, whole_rows
from pipeline.training.order import Asked, Order, Tuning

WEIGHTS = b"weights"
"""The key of the schema's metadata that says by which weights a table was made."""
Columns = dict[str, list[Any]]
"""By name, one value a row or question of a micro-batch."""


def write_predictions(order: Order, tuning: Tuning, job: Job, state: State, weights: Path) -> None:
    """Write `predicted-SPLIT.arrow` into the order's scratch for every split that it names."""
    digest = sha256_of(weights).encode()
    wanted = [split for split in tuning.predicted if not _is_there(predictions_path(order, split), digest)]
    if not wanted:
        return
    learner = Learner(order.shape, job.objectives)
    learner.load_state_dict(state.weights)
    learner.eval().to(order.run.device)
    for split in wanted:
        table = _predict(order, tuning, learner, split)
        write_table(predictions_path(order, split), table.replace_schema_metadata({WEIGHTS: digest}), codec=None)


def predictions_path(order: Order, split: Asked) -> Path:
    """Say where the predictions of a split are."""
    return Path(order.work) / f"predicted-{split.name}.arrow"


def _is_there(path: Path, digest: bytes) -> bool:
    return path.exists() and (read_table(path).schema.metadata or {}).get(WEIGHTS) == digest


@torch.no_grad()
def _predict(order: Order, tuning: Tuning, learner: Learner, split: Asked) -> pa.Table:
    rows = open_rows(tuning, split.path, order.shape.max_positions)
    masks = whole_rows if tuning.kind in ("span", "tag") else None
    device = torch.device(order.run.device)
    loader = Loader(rows, masks, 0, 1, order.run.micro_batch, device)
    ask, schema = KINDS[tuning.kind], predicted_schema(tuning.kind)
    found: Columns = {name: [None] * rows.units for name in schema.names}
    for batch in loader.all_rows():
        answers = ask(learner.heads[tuning.kind], learner.states(batch), batch, tuning.choices)
        for name, values in answers.items():
            for unit, value in zip(batch.rows_B[:: rows.per_unit] // rows.per_unit, values, strict=True):
                found[name][unit] = value
    return pa.table(found, schema=schema)


Ask = Callable[[torch.nn.Module, Hidden, MicroBatch, int], Columns]


def _classes(head: torch.nn.Module, hidden: Hidden, batch: MicroBatch, choices: int) -> Columns:
    return _likeliest(head(hidden.first_B1D))


def _choices(head: torch.nn.Module, hidden: Hidden, batch: MicroBatch, choices: int) -> Columns:
    return _likeliest(head(hidden.first_B1D).view(-1, choices))


def _likeliest(logits_QC: Tensor) -> Columns:
    probability_QC = logits_QC.float().softmax(-1).cpu().numpy()
    return {"predicted": list(probability_QC.argmax(-1)), "probabilities": list(probability_QC)}


def _numbers(head: torch.nn.Module, hidden: Hidden, batch: MicroBatch, choices: int) -> Columns:
    return {"predicted": head(hidden.first_B1D)[:, 0].float().tolist()}


def _edges(head: torch.nn.Module, hidden: Hidden, batch: MicroBatch, choices: int) -> Columns:
    logits_M2 = head(hidden.predicted_MD).float()
    return {name: _tokens(by_row(logits_M2[:, at], batch), batch) for at, name in enumerate(("starts", "ends"))}


def _tags(head: torch.nn.Module, hidden: Hidden, batch: MicroBatch, choices: int) -> Columns:
    likeliest_M = head(hidden.predicted_MD).argmax(-1)
    rows = _tokens(by_row(likeliest_M.float(), batch), batch)
    return {"predicted": [row.astype(np.int32) for row in rows]}


def _tokens(score_BT: Tensor, batch: MicroBatch) -> list[Any]:
    """Part what was laid out in rows, without their padding."""
    length_B = [score_BT.shape[1]] * len(score_BT)
    if batch.attended_BT is not None:
        length_B = batch.attended_BT.sum(1).tolist()
    return [row[:length] for row, length in zip(score_BT.cpu().numpy(), length_B, strict=True)]


KINDS: dict[str, Ask] = {"classify": _classes, "regress": _numbers, "choose": _choices, "span": _edges, "tag": _tags}
"""How a head is asked; see `tables.predicted_schema` for the answers."""
