"""Which piece of a context answers best: the likeliest span over all windows, or none; and how right that is.

Letters: Q questions, T tokens of a window, K lengths of answers, P tokens that pad a window for that.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.tasks.exactness import NO_ANSWER, best_threshold, exact, f1
from pipeline.tasks.judged import arrays, mistakes_of
from pipeline.tasks.rows import Question
from pipeline.tasks.task import Outcome, Picture, Report
from pipeline.tasks.windows import OUTSIDE

Logits = NDArray[Any]

THRESHOLD = "no_answer_threshold"
FATES = ("exact", "overlaps an answer", "elsewhere", "answered, has no answer", "not answered, has one")


@dataclass(frozen=True)
class Span:
    """A piece of a context."""

    logit: float  # of its first and last token together
    first: int  # characters of the context
    end: int
    probability: float  # in its window


@dataclass(frozen=True)
class Guess:
    """What a model says to a question: a piece of the context, and how likely none is."""

    text: str
    probability: float
    none_probability: float
    margin: float  # by how much "no answer" is likelier, in logits


@dataclass(frozen=True)
class Given:
    """What is said in the end, with the threshold applied."""

    text: str
    probability: float


def report_spans(outcome: Outcome, metrics: tuple[str, ...]) -> Report:
    """Score answers by the official definition; where dev has questions without an answer, find when not to answer."""
    rows: Sequence[Question] = outcome.rows
    guesses = list(guess(outcome))
    tuned = tune(rows, guesses) if outcome.tuned is None else dict(outcome.tuned)
    threshold = tuned.get(THRESHOLD, math.inf)
    given = [decide(found, threshold) for found in guesses]
    right = [row.answer is None or bool(exact(said.text, _texts(row))) for row, said in zip(rows, given, strict=True)]
    table = _table(rows, given, guesses)
    mistakes = mistakes_of(table, ~np.array(right), np.array([said.probability for said in given]))
    known = [(row, said.text) for row, said in zip(rows, given, strict=True) if row.answer is not None]
    if not known:
        return Report({}, table, mistakes, None, tuned)
    return Report(score_answers(known, metrics), table, mistakes, _picture(known), tuned)


def guess(outcome: Outcome) -> Iterator[Guess]:
    """Give the best answer to each question, over all windows of its context.

    "No answer" is as likely as in the window where it is least likely (run_squad.py): one that holds the answer denies it.
    """
    encoded, predicted = outcome.encoded, outcome.predicted
    offsets = (flat.reshape(-1, 2) for flat in arrays(encoded["offsets"]))
    windows = zip(
        encoded["row"].to_pylist(), offsets, arrays(predicted["starts"]), arrays(predicted["ends"]), strict=True
    )
    for row, group in groupby(windows, key=itemgetter(0)):
        seen = [(spans, starts, ends) for _, spans, starts, ends in group]
        none, none_probability = min(_none(starts, ends) for _, starts, ends in seen)
        best = max((best_span(*window, outcome.limits.max_answer_tokens) for window in seen), key=lambda s: s.logit)
        text = outcome.rows[row].context[best.first : best.end]
        yield Guess(text, best.probability, none_probability, none - best.logit)


def best_span(spans_T2: NDArray[np.int32], start_T: Logits, end_T: Logits, most_tokens: int) -> Span:
    """Find the span in the context with the highest sum of logits; of equal ones the first and shortest.

    Where a window has no token of the context the logit is minus infinity.
    """
    start_T, end_T = start_T.astype(np.float64), end_T.astype(np.float64)
    inside_T = spans_T2[:, 0] != OUTSIDE
    begin_T = np.where(inside_T, start_T, -np.inf)
    end_P = np.concatenate([np.where(inside_T, end_T, -np.inf), np.full(most_tokens - 1, -np.inf)])
    sum_TK = begin_T[:, None] + sliding_window_view(end_P, most_tokens)
    first, length = np.unravel_index(int(sum_TK.argmax()), sum_TK.shape)
    logit = float(sum_TK[first, length])
    probability = math.exp(logit - _log_total(start_T) - _log_total(end_T)) if math.isfinite(logit) else 0.0
    return Span(logit, int(spans_T2[first, 0]), int(spans_T2[first + length, 1]), probability)


def tune(rows: Sequence[Question], guesses: Sequence[Guess]) -> dict[str, float]:
    """Find the threshold with the best F1; nothing to find where every question has an answer, or none is published."""
    known = [(row, found) for row, found in zip(rows, guesses, strict=True) if row.answer is not None]
    if all(row.answer for row, _ in known):
        return {}
    margins = [found.margin for _, found in known]
    scores = [f1(found.text, _texts(row)) for row, found in known]
    return {THRESHOLD: best_threshold(margins, scores, [bool(row.answer) for row, _ in known])}


def decide(found: Guess, threshold: float) -> Given:
    """Give the answer, or none where that is likelier by more than the threshold."""
    if found.margin > threshold:
        return Given(NO_ANSWER, found.none_probability)
    return Given(found.text, found.probability)


def score_answers(known: Sequence[tuple[Question, str]], metrics: Sequence[str]) -> dict[str, float]:
    """Give the means over all questions, and where some have no answer over those with one and those without."""
    groups = {"": known}
    if not all(row.answer for row, _ in known):
        groups["_answerable"] = [(row, text) for row, text in known if row.answer]
        groups["_unanswerable"] = [(row, text) for row, text in known if not row.answer]
    measures = {"f1": f1, "exact": exact}
    return {
        name + group: sum(measures[name](text, _texts(row)) for row, text in some) / len(some)
        for group, some in groups.items()
        for name in metrics
        if some
    }


def _none(start_T: Logits, end_T: Logits) -> tuple[float, float]:
    """Give the logit and the probability of "no answer", which stands at [CLS]."""
    start_T, end_T = start_T.astype(np.float64), end_T.astype(np.float64)
    logit = float(start_T[0] + end_T[0])
    return logit, math.exp(logit - _log_total(start_T) - _log_total(end_T))


def _log_total(logit_T: Logits) -> float:
    return float(np.logaddexp.reduce(logit_T))


def _texts(row: Question) -> list[str]:
    return [passage.text for passage in row.answer or ()]


def _table(rows: Sequence[Question], given: Sequence[Given], guesses: Sequence[Guess]) -> pa.Table:
    known = [(said.text, row) if row.answer is not None else None for said, row in zip(given, rows, strict=True)]
    columns: Mapping[str, Any] = {
        "id": [row.id for row in rows],
        "question": [row.question for row in rows],
        "context": [row.context for row in rows],
        "label": pa.array([None if row.answer is None else _texts(row) for row in rows], pa.list_(pa.string())),
        "predicted": [said.text for said in given],
        "probability": [said.probability for said in given],
        "no_answer_margin": [found.margin for found in guesses],
        "f1": pa.array([f1(pair[0], _texts(pair[1])) if pair else None for pair in known], pa.float64()),
        "exact": pa.array([exact(pair[0], _texts(pair[1])) if pair else None for pair in known], pa.float64()),
    }
    return pa.table(columns)


def _picture(known: Sequence[tuple[Question, str]]) -> Picture:
    counts = Counter(_fate(row, text) for row, text in known)
    return Picture(
        "bars", "questions", "what was answered", ("questions",), FATES, (tuple(float(counts[fate]) for fate in FATES),)
    )


def _fate(row: Question, text: str) -> str:
    if exact(text, _texts(row)):
        return FATES[0]
    if not row.answer:
        return FATES[3]
    if text == NO_ANSWER:
        return FATES[4]
    return FATES[1] if f1(text, _texts(row)) else FATES[2]
