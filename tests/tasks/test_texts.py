import math
from typing import Any

import pyarrow as pa
import pytest

from pipeline.tables import encoded_schema, predicted_schema
from pipeline.tasks import TASKS, kinds
from pipeline.tasks.rows import Labelled, Scored
from pipeline.tasks.task import MISTAKES, Limits, Outcome, Row, Task

LIMITS = Limits(sequence_length=12)


def outcome(tokenizer: Any, task: Task, rows: list[Any], labels: tuple[str, ...], **predicted: Any) -> Outcome:
    encoded = pa.Table.from_pylist(
        list(kinds.encode(task, tokenizer, rows, labels, LIMITS)), encoded_schema(task.kind, 100)
    )
    return Outcome(rows, encoded, pa.table(predicted, predicted_schema(task.kind)), labels, LIMITS)


def test_texts_are_encoded_as_the_tokenizer_encodes_them_and_cut(wordpiece: Any) -> None:
    task = TASKS["rte"]
    rows: list[Row] = [
        Labelled("Norman came.", "Who?", "not_entailment"),
        Labelled("Norman came.", "", None),
        Labelled("norman " * 20, "came from", "entailment"),
    ]
    pair, single, long = kinds.encode(task, wordpiece, rows, task.labels, LIMITS)
    expected = wordpiece.encode("Norman came.", "Who?")
    assert pair == {"ids": expected.ids, "second_at": expected.type_ids.index(1), "row": 0, "label": 1}
    assert single == {"ids": wordpiece.encode("Norman came.").ids, "second_at": 5, "row": 1, "label": -1}
    assert [wordpiece.id_to_token(at) for at in long["ids"]] == [
        "[CLS]", *["norman"] * 7, "[SEP]", "came", "from", "[SEP]",
    ]  # fmt: skip
    assert (long["second_at"], long["row"], long["label"]) == (9, 2, 0)


def test_scores_are_numbers_and_unknown_ones_none(wordpiece: Any) -> None:
    rows: list[Row] = [Scored("a", "b", 3.8), Scored("a", "b", None)]
    known, unknown = kinds.encode(TASKS["stsb"], wordpiece, rows, (), LIMITS)
    assert known["label"] == 3.8
    assert math.isnan(unknown["label"])


def test_a_report_of_classes_lists_the_surest_mistakes_first(wordpiece: Any) -> None:
    rows = [Labelled("a", "", answer, line) for line, answer in enumerate(["0", "0", "1", "1", None, "0"], start=2)]
    sure = [[0.9, 0.1], [0.4, 0.6], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9], [0.45, 0.55]]
    predicted = [0, 1, 0, 1, 1, 1]
    report = kinds.report(
        TASKS["cola"], outcome(wordpiece, TASKS["cola"], rows, ("0", "1"), predicted=predicted, probabilities=sure)
    )
    assert report.scores["accuracy"] == 0.4
    assert report.scores["matthews"] == pytest.approx((1 * 1 - 2 * 1) / math.sqrt(3 * 2 * 3 * 2))
    assert report.mistakes["line"].to_pylist() == [4, 3, 7]
    assert report.table["label"].to_pylist() == ["0", "0", "1", "1", None, "0"]
    assert report.table["predicted"].to_pylist() == ["0", "1", "0", "1", "1", "1"]
    assert report.picture is not None
    assert report.picture.values == ((1, 2), (1, 1))


def test_a_report_lists_twenty_mistakes_at_most(wordpiece: Any) -> None:
    rows = [Labelled("a", "", "0", line) for line in range(30)]
    sure = [[0.0, 1.0]] * 30
    report = kinds.report(
        TASKS["sst2"], outcome(wordpiece, TASKS["sst2"], rows, ("0", "1"), predicted=[1] * 30, probabilities=sure)
    )
    assert report.mistakes["line"].to_pylist() == list(range(MISTAKES))


def test_a_report_of_numbers_lists_the_farthest_first(wordpiece: Any) -> None:
    rows = [Scored("a", "", answer, line) for line, answer in enumerate([1.0, 2.0, 3.0, None], start=2)]
    report = kinds.report(TASKS["stsb"], outcome(wordpiece, TASKS["stsb"], rows, (), predicted=[1.0, 2.5, 5.0, 0.0]))
    assert report.scores == {"spearman": pytest.approx(1.0), "pearson": pytest.approx(4 / math.sqrt(2 * 49 / 6))}
    assert report.mistakes["line"].to_pylist() == [4, 3]
    assert report.picture is not None
    assert report.picture.values == ((1.0, 1.0), (2.0, 2.5), (3.0, 5.0))


def test_without_published_answers_there_are_predictions_and_no_scores(wordpiece: Any) -> None:
    rows = [Labelled("a", "", None)]
    report = kinds.report(
        TASKS["rte"],
        outcome(wordpiece, TASKS["rte"], rows, TASKS["rte"].labels, predicted=[1], probabilities=[[0.2, 0.8]]),
    )
    assert (report.scores, report.picture, report.mistakes.num_rows) == ({}, None, 0)
    assert report.table["predicted"].to_pylist() == ["not_entailment"]
