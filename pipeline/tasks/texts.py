"""Texts and pairs of texts: a class or a number is predicted of each.

Letters: N rows, C classes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.tasks.judged import confusion, mistakes_of, probabilities_of, score
from pipeline.tasks.pieces import encode_pairs
from pipeline.tasks.rows import Labelled, Scored
from pipeline.tasks.task import UNKNOWN, Limits, Outcome, Picture, Report


def encode_labelled(
    tokenizer: Any, rows: Sequence[Labelled], labels: tuple[str, ...], limits: Limits
) -> Iterator[dict[str, Any]]:
    """Encode texts with the index of their label."""
    known = {name: at for at, name in enumerate(labels)}
    pairs = ((row.first, row.second) for row in rows)
    encoded = encode_pairs(tokenizer, pairs, limits.sequence_length)
    for at, (row, sequence) in enumerate(zip(rows, encoded, strict=True)):
        yield {**sequence, "row": at, "label": UNKNOWN if row.answer is None else known[row.answer]}


def encode_scored(
    tokenizer: Any, rows: Sequence[Scored], labels: tuple[str, ...], limits: Limits
) -> Iterator[dict[str, Any]]:
    """Encode texts with their number."""
    pairs = ((row.first, row.second) for row in rows)
    encoded = encode_pairs(tokenizer, pairs, limits.sequence_length)
    for at, (row, sequence) in enumerate(zip(rows, encoded, strict=True)):
        yield {**sequence, "row": at, "label": float("nan") if row.answer is None else row.answer}


def report_classes(outcome: Outcome, metrics: tuple[str, ...]) -> Report:
    """Score classes: the metrics, what was taken for what, the mistakes of which the model was surest."""
    names = outcome.labels
    label_N = outcome.encoded["label"].to_numpy().astype(np.int64)
    predicted_N = outcome.predicted["predicted"].to_numpy().astype(np.int64)
    wrong_N = (label_N != predicted_N) & (label_N != UNKNOWN)
    surest_N = probabilities_of(outcome.predicted).max(-1)
    table = pa.table(
        {
            **_texts(outcome.rows),
            "label": pa.array([row.answer for row in outcome.rows], pa.string()),
            "predicted": [names[at] for at in predicted_N.tolist()],
            "probabilities": outcome.predicted["probabilities"],
        }
    )
    scores = score(metrics, label_N[label_N != UNKNOWN], predicted_N[label_N != UNKNOWN])
    picture = confusion("rows", "label", label_N, predicted_N, names) if scores else None
    return Report(scores, table, mistakes_of(table, wrong_N, surest_N), picture)


def report_numbers(outcome: Outcome, metrics: tuple[str, ...]) -> Report:
    """Score numbers: correlations, each answer with its prediction, the rows that lie farthest apart."""
    label_N = outcome.encoded["label"].to_numpy().astype(np.float64)
    predicted_N = outcome.predicted["predicted"].to_numpy().astype(np.float64)
    known_N = ~np.isnan(label_N)
    table = pa.table(
        {
            **_texts(outcome.rows),
            "label": pa.array([row.answer for row in outcome.rows], pa.float64()),
            "predicted": predicted_N,
        }
    )
    scores = score(metrics, label_N[known_N], predicted_N[known_N])
    points = tuple(zip(label_N[known_N].tolist(), predicted_N[known_N].tolist(), strict=True))
    picture = Picture("points", "rows", "label", (), (), points) if scores else None
    apart_N = np.where(known_N, np.abs(label_N - predicted_N), 0.0)
    return Report(scores, table, mistakes_of(table, apart_N > 0, apart_N), picture)


def _texts(rows: Sequence[Labelled | Scored]) -> dict[str, list[Any]]:
    return {name: [getattr(row, name) for row in rows] for name in ("line", "first", "second")}
