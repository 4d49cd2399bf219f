"""SQuAD's JSON, versions 1.1 and 2.0: articles, their paragraphs, questions to each, answers as pieces of the paragraph.

Source: Rajpurkar et al. 2016 and 2018. In 2.0 a paragraph may not hold the answer: `is_impossible` is true, `answers` empty.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError
from pipeline.tasks.lines import numbered
from pipeline.tasks.rows import Passage, Question
from pipeline.tasks.splits import Names, find_splits
from pipeline.tasks.task import Task

NAMES: Names = {"train": ("train*.json",), "dev": ("dev*.json",), "test": ("test*.json",)}
"""The official files are train-v1.1.json, dev-v2.0.json and so on."""


def squad() -> Task:
    """Describe a task in the layout of SQuAD."""
    files = partial(find_splits, names=NAMES, layout="JSON in the layout of SQuAD")
    question = "which piece of a text answers a question, if any does? (1.1 and 2.0)"
    return Task(question, "span", ("f1", "exact"), files, read_questions, answers_in="the field answers")


def read_questions(path: Path) -> Iterator[Question]:
    """Stream the questions of a file; those without the field answers are an unlabelled test set.

    Raises: DataError for broken JSON, a missing field, an answer that does not stand where the file says, or no questions.
    """
    count = 0
    for at, article in enumerate(_list(_load(path), "data", path, "the file")):
        for below, paragraph in enumerate(_list(article, "paragraphs", path, f"data.{at}")):
            where = f"data.{at}.paragraphs.{below}"
            context = _text(paragraph, "context", path, where)
            for inner, item in enumerate(_list(paragraph, "qas", path, where)):
                yield _question(item, context, path, f"{where}.qas.{inner}")
                count += 1
    if not count:
        raise DataError(f"{path}: holds no questions; expected some in data, paragraphs, qas")


def _load(path: Path) -> Any:
    text = "\n".join(line for _, line in numbered(path))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {error.lineno} is not JSON ({error.msg}, column {error.colno}); mend the file or copy it again"
        ) from error


def _question(item: Any, context: str, path: Path, where: str) -> Question:
    named = _id(item, path, where)
    question = _text(item, "question", path, where)
    if "answers" not in item:
        return Question(named, question, context, None)
    marks = _list(item, "answers", path, where)
    answers = tuple(_passage(mark, context, path, f"{where} (question {named})") for mark in marks)
    if bool(answers) is bool(item.get("is_impossible", False)):
        says = "is_impossible and answers too" if answers else "neither an answer nor is_impossible"
        raise DataError(f"{path}: {where} (question {named}) has {says}; expected one of them")
    return Question(named, question, context, answers)


def _passage(mark: Any, context: str, path: Path, where: str) -> Passage:
    text = _text(mark, "text", path, where)
    first = _field(mark, "answer_start", path, where)
    if not isinstance(first, int) or first < 0 or context[first : first + len(text)] != text or not text:
        raise DataError(
            f"{path}: {where} has the answer {text[:40]!r} at character {first}, where its context of {len(context)} "
            f"characters has another text; mend answer_start"
        )
    return Passage(text, first)


def _list(record: Any, name: str, path: Path, where: str) -> list[Any]:
    value = _field(record, name, path, where)
    if not isinstance(value, list):
        raise DataError(f"{path}: {where} has {str(value)[:40]!r} in the field {name}; expected a list")
    return value


def _text(record: Any, name: str, path: Path, where: str) -> str:
    value = _field(record, name, path, where)
    if not isinstance(value, str):
        raise DataError(f"{path}: {where} has {str(value)[:40]!r} in the field {name}; expected text")
    return value


def _id(item: Any, path: Path, where: str) -> str:
    """Take the name of a question; some sets number theirs."""
    value = _field(item, "id", path, where)
    return str(value) if type(value) is int else _text(item, "id", path, where)


def _field(record: Any, name: str, path: Path, where: str) -> Any:
    if not isinstance(record, dict):
        raise DataError(f"{path}: {where} is no JSON object; expected one with the field {name}, as in SQuAD")
    if name not in record:
        raise DataError(f"{path}: {where} has no field {name}; its fields are {', '.join(record) or 'none'}")
    return record[name]
