import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tables import encoded_schema, predicted_schema
from pipeline.tasks import TASKS, kinds
from pipeline.tasks.rows import Passage, Question
from pipeline.tasks.spans import best_span
from pipeline.tasks.task import Limits, Outcome, Report

CONTEXT = "The Normans came from Normandy, in France."
FRANCE = Passage("France", 35)
LIMITS = Limits(sequence_length=16, window_stride=5, max_answer_tokens=3)
SQUAD = TASKS["squad"]


def asked(*answers: Passage) -> Question:
    return Question("q", "Where?", CONTEXT, answers)


def outcome(tokenizer: Any, rows: Sequence[Question], sure: Sequence[tuple[str, float]], tuned: Any = None) -> Outcome:
    """Make a model that says of each row: this text, by so many logits more than nothing."""
    encoded = pa.Table.from_pylist(list(kinds.encode(SQUAD, tokenizer, rows, (), LIMITS)), encoded_schema("span", 100))
    starts, ends = [], []
    for window in encoded.to_pylist():
        text, logit = sure[window["row"]]
        first = rows[window["row"]].context.index(text)
        pairs = list(zip(window["offsets"][::2], window["offsets"][1::2], strict=True))
        starts.append([logit / 2 if pair[0] == first else 0.0 for pair in pairs])
        ends.append([logit / 2 if pair[1] == first + len(text) else 0.0 for pair in pairs])
    predicted = pa.table({"starts": starts, "ends": ends}, predicted_schema("span"))
    return Outcome(rows, encoded, predicted, (), LIMITS, tuned)


def report(*given: Any, **more: Any) -> Report:
    return kinds.report(SQUAD, outcome(*given, **more))


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(2, 9), st.data())
def test_the_best_span_is_the_best_of_all(most: int, tokens: int, data: st.DataObject) -> None:
    logits = st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0]), min_size=tokens, max_size=tokens)
    starts, ends = np.array(data.draw(logits), np.float32), np.array(data.draw(logits), np.float32)
    spans = np.array([(-1, -1), *((at, at + 1) for at in range(1, tokens - 1)), (-1, -1)], np.int32)
    all_of_them = [
        (float(starts[first] + ends[last]), first, last)
        for first in range(1, tokens - 1)
        for last in range(first, min(first + most, tokens - 1))
    ]
    found = best_span(spans, starts, ends, most)
    if not all_of_them:
        assert found.logit == -math.inf
        assert found.probability == 0
    else:
        logit, first, last = max(all_of_them, key=lambda span: (span[0], -span[1], -span[2]))
        assert (found.logit, found.first, found.end) == (logit, first, last + 1)
        softmax = [np.exp(side) / np.exp(side).sum() for side in (starts, ends)]
        assert found.probability == pytest.approx(softmax[0][first] * softmax[1][last], rel=1e-5)


def test_the_best_span_over_all_windows_is_the_answer(wordpiece: Any) -> None:
    rows = [asked(FRANCE), asked(Passage("Normans", 4))]
    found = report(wordpiece, rows, [("France", 9.0), ("came", 9.0)])
    assert found.table["predicted"].to_pylist() == ["France", "came"]
    assert found.scores == {"f1": 0.5, "exact": 0.5}
    assert found.tuned == {}
    assert found.mistakes["predicted"].to_pylist() == ["came"]
    assert found.picture is not None
    assert dict(zip(found.picture.across, found.picture.values[0], strict=True)) == {
        "exact": 1,
        "overlaps an answer": 0,
        "elsewhere": 1,
        "answered, has no answer": 0,
        "not answered, has one": 0,
    }


def test_the_threshold_is_tuned_on_dev_and_used_on_test(wordpiece: Any) -> None:
    rows = [asked(FRANCE), asked(), asked(Passage("came", 12)), asked()]
    sure = [("France", 9.0), ("came", 3.0), ("came", 5.0), ("Normans", 4.0)]
    dev = report(wordpiece, rows, sure)
    assert dev.tuned == {"no_answer_threshold": -5.0}
    assert dev.table["predicted"].to_pylist() == ["France", "", "came", ""]
    assert dev.scores == dict.fromkeys(
        ("f1", "exact", "f1_answerable", "exact_answerable", "f1_unanswerable", "exact_unanswerable"), 1.0
    )
    test = report(wordpiece, rows, [("France", 4.9), *sure[1:]], tuned=dev.tuned)
    assert test.table["predicted"].to_pylist() == ["", "", "came", ""]
    assert test.scores["f1_answerable"] == 0.5
    assert report(wordpiece, rows[:1], sure[:1], tuned={}).table["predicted"].to_pylist() == ["France"]


def test_no_answer_is_as_likely_as_where_it_is_least_likely(wordpiece: Any) -> None:
    made = outcome(wordpiece, [asked(FRANCE)], [("France", 6.0)])
    assert len(made.encoded) > 1
    starts = [list(window) for window in made.predicted["starts"].to_pylist()]
    for window in starts:
        window[0] += 2.0
    starts[0][0] = -1.0
    predicted = pa.table({"starts": starts, "ends": made.predicted["ends"]}, predicted_schema("span"))
    (margin,) = (
        kinds.report(SQUAD, Outcome(made.rows, made.encoded, predicted, (), LIMITS))
        .table["no_answer_margin"]
        .to_pylist()
    )
    assert margin == pytest.approx(-1.0 - 6.0)


def test_without_published_answers_there_are_predictions_and_no_scores(wordpiece: Any) -> None:
    found = report(wordpiece, [Question("q", "Where?", CONTEXT, None)], [("France", 9.0)], tuned={})
    assert found.scores == {}
    assert found.picture is None
    assert found.mistakes.num_rows == 0
    assert found.table["predicted"].to_pylist() == ["France"]
    assert found.table["f1"].to_pylist() == found.table["label"].to_pylist() == [None]
