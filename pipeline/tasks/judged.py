"""What reports of different kinds share: the table of all rows, and of those the mistakes a model was surest of.

Letters: N rows, C classes.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.tasks.metrics import METRICS
from pipeline.tasks.task import MISTAKES, UNKNOWN, Picture

Ints = NDArray[np.int64]


def mistakes_of(table: pa.Table, wrong_N: NDArray[np.bool_], confidence_N: NDArray[Any]) -> pa.Table:
    """Take the rows that are wrong, the most confident first; equal ones in the order of the rows."""
    at_W = np.flatnonzero(wrong_N)
    order_W = np.argsort(-confidence_N[at_W].astype(np.float64), kind="stable")
    return table.take(at_W[order_W][:MISTAKES])


def probabilities_of(predicted: pa.Table) -> NDArray[np.float32]:
    """Give the probabilities of classes or choices, as the model gave them: shape [N, C]."""
    flat: NDArray[np.float32] = np.asarray(pc.list_flatten(predicted["probabilities"]), dtype=np.float32)
    return flat.reshape(len(predicted), -1)


def confusion(counted: str, side: str, label_N: Ints, predicted_N: Ints, names: Sequence[str]) -> Picture:
    """Count what was taken for what: a row for each label, a column for each prediction."""
    known_N = label_N != UNKNOWN
    counts_CC = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts_CC, (label_N[known_N], predicted_N[known_N]), 1)
    values = tuple(tuple(float(count) for count in row) for row in counts_CC)
    return Picture("grid", counted, side, tuple(names), tuple(names), values)


def score(metrics: Sequence[str], answer_N: NDArray[Any], predicted_N: NDArray[Any]) -> dict[str, float]:
    """Give each metric by its name; none where no answers are published."""
    if not len(answer_N):
        return {}
    return {name: METRICS[name](answer_N.tolist(), predicted_N.tolist()) for name in metrics}


def arrays(column: Any) -> Iterator[NDArray[Any]]:
    """Yield each list of a column as an array, without copying."""
    for chunk in column.chunks:
        values, offsets = chunk.values.to_numpy(), chunk.offsets.to_numpy()
        yield from (values[first:end] for first, end in pairwise(offsets.tolist()))
