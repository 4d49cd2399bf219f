"""What each kind of task does with its rows and predictions. Loaded when it is needed: the list of tasks stays light."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipeline.tasks.endings import encode_choices, report_choices
from pipeline.tasks.spans import report_spans
from pipeline.tasks.tags import encode_sentences, report_tags
from pipeline.tasks.task import Kind, Limits, Outcome, Report, Row, Task
from pipeline.tasks.texts import encode_labelled, encode_scored, report_classes, report_numbers
from pipeline.tasks.windows import encode_questions

ENCODERS: dict[Kind, Callable[..., Iterator[dict[str, Any]]]] = {
    "classify": encode_labelled,
    "regress": encode_scored,
    "choose": encode_choices,
    "span": encode_questions,
    "tag": encode_sentences,
}
REPORTS: dict[Kind, Callable[[Outcome, tuple[str, ...]], Report]] = {
    "classify": report_classes,
    "regress": report_numbers,
    "choose": report_choices,
    "span": report_spans,
    "tag": report_tags,
}


def encode(
    task: Task, tokenizer: Any, rows: Sequence[Row], labels: tuple[str, ...], limits: Limits
) -> Iterator[dict[str, Any]]:
    """Encode rows, in their order, as `tables.encoded_schema` has them; `labels` are those of `find_labels`."""
    return ENCODERS[task.kind](tokenizer, rows, labels, limits)


def report(task: Task, outcome: Outcome) -> Report:
    """Say how right a model is about the rows of a split."""
    return REPORTS[task.kind](outcome, task.metrics)
