"""Multiple choice: each ending is a sequence of its own, the context before it; the likeliest is chosen.

Source: Devlin et al. 2019, section 4.4. Letters: Q questions, N sequences.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.tasks.judged import confusion, mistakes_of, probabilities_of, score
from pipeline.tasks.pieces import encode_pairs
from pipeline.tasks.rows import Choice
from pipeline.tasks.task import UNKNOWN, Limits, Outcome, Report


def encode_choices(
    tokenizer: Any, rows: Sequence[Choice], labels: tuple[str, ...], limits: Limits
) -> Iterator[dict[str, Any]]:
    """Encode the endings of each question one after another, each with what it continues."""
    pairs = ((row.context, _joined(row.start, ending)) for row in rows for ending in row.endings)
    encoded = encode_pairs(tokenizer, pairs, limits.sequence_length)
    owners = ((at, row) for at, row in enumerate(rows) for _ in row.endings)
    for (at, row), sequence in zip(owners, encoded, strict=True):
        yield {**sequence, "row": at, "label": UNKNOWN if row.answer is None else row.answer}


def report_choices(outcome: Outcome, metrics: tuple[str, ...]) -> Report:
    """Score choices: the metrics, which place was taken for which, the mistakes of which the model was surest."""
    rows: Sequence[Choice] = outcome.rows
    label_Q = np.array([UNKNOWN if row.answer is None else row.answer for row in rows], np.int64)
    predicted_Q = outcome.predicted["predicted"].to_numpy().astype(np.int64)
    known_Q = label_Q != UNKNOWN
    table = pa.table(
        {
            "line": [row.line for row in rows],
            "context": [row.context for row in rows],
            "endings": [[_joined(row.start, ending) for ending in row.endings] for row in rows],
            "label": pa.array([row.answer for row in rows], pa.int32()),
            "predicted": outcome.predicted["predicted"],
            "probabilities": outcome.predicted["probabilities"],
        }
    )
    scores = score(metrics, label_Q[known_Q], predicted_Q[known_Q])
    picture = confusion("questions", "right ending", label_Q, predicted_Q, outcome.labels) if scores else None
    surest_Q = probabilities_of(outcome.predicted).max(-1)
    return Report(scores, table, mistakes_of(table, known_Q & (label_Q != predicted_Q), surest_Q), picture)


def _joined(start: str, ending: str) -> str:
    return f"{start} {ending}".strip()
