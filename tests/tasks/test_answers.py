from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.core.errors import DataError
from pipeline.tasks import TASKS
from pipeline.tasks.answers import find_labels
from pipeline.tasks.rows import Labelled, Question, Sentence
from pipeline.tasks.task import Row

FILES = {split: Path(f"{split}.csv") for split in ("train", "dev", "test")}


def texts(*answers: str | None) -> list[Labelled]:
    return [Labelled("a", "", answer, line) for line, answer in enumerate(answers, start=2)]


def words(*tags: str) -> list[Sentence]:
    return [Sentence(("w",) * len(tags), tags, 1)]


def labels(task: str, **splits: Sequence[Row]) -> tuple[str, ...]:
    return find_labels(TASKS[task], {split: FILES[split] for split in splits}, splits)


def test_a_task_that_knows_its_labels_keeps_them() -> None:
    assert labels("rte", train=texts("not_entailment")) == ("entailment", "not_entailment")
    assert labels("squad", train=[Question("1", "a", "b", ())]) == ()


def test_classes_are_those_of_the_training_rows_in_their_order() -> None:
    assert labels("table", train=texts("b", "c", "a", "b"), dev=texts("a"), test=texts(None)) == ("a", "b", "c")


def test_an_entity_may_go_on_where_training_has_only_its_begin() -> None:
    tags = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert labels("conll", train=words("B-PER", "O", "B-LOC"), dev=words("B-PER", "I-PER")) == tags


def test_tags_without_begins_stay_without_them() -> None:
    assert labels("conll", train=words("I-PER", "O", "I-LOC")) == ("O", "I-LOC", "I-PER")


def test_rows_that_are_held_back_are_rows_of_the_training_file() -> None:
    splits = {"train": texts("a", "b"), "dev": texts("c")}
    only_train = {"train": FILES["train"]}
    assert find_labels(TASKS["table"], only_train, splits) == ("a", "b", "c")
    with pytest.raises(DataError, match=r"^train\.csv: line 2 has no answer"):
        find_labels(TASKS["table"], only_train, {**splits, "dev": texts(None)})
    with pytest.raises(
        DataError, match=r"^train\.csv: has too few rows to hold some back for the dev split; give more"
    ):
        find_labels(TASKS["table"], only_train, {**splits, "dev": []})


@pytest.mark.parametrize(
    ("task", "splits", "reason"),
    [
        (
            "table",
            {"train": texts("a", "b"), "test": texts("a", "c")},
            r"^test\.csv: line 3 has the label 'c', which no training row has; expected one of a, b$",
        ),
        ("table", {"train": texts("a", "b"), "dev": texts("x")}, r"^dev\.csv: line 2 has the label 'x', which no tr"),
        (
            "conll",
            {"train": words("O", "I-PER"), "dev": words("B-PER")},
            r"^dev\.csv: line 1 has the label 'B-PER', wh",
        ),
        ("table", {"train": texts("a", "a")}, r"^train\.csv: the column label holds 'a' in every row; expected two"),
        ("conll", {"train": words("O", "O")}, r"^train\.csv: the last column holds 'O' in every row; expected two"),
        (
            "rte",
            {"train": texts(None), "test": texts("entailment")},
            r"^train\.csv: line 2 has no answer; expected one in the column label of every row of the train split; give "
            r"labelled rows$",
        ),
        (
            "table",
            {"train": texts(None)},
            r"^train\.csv: line 2 has no answer; expected one in the column label of every row of the train split; name "
            r"their column in recipe\.finetune\.\*\.label_column, or give labelled rows$",
        ),
        (
            "cola",
            {"train": texts("1"), "dev": texts("0", None)},
            r"^dev\.csv: line 3 has no answer; expected one in the sec",
        ),
        ("rte", {"train": texts("entailment"), "dev": []}, r"^dev\.csv: has no rows; expected some for the dev split$"),
        (
            "squad",
            {"train": [Question("q7", "a", "b", None)]},
            r"^train\.csv: question q7 has no answer; expected one in",
        ),
    ],
)
def test_answers_that_training_cannot_learn_are_named(task: str, splits: dict[str, Sequence[Row]], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        labels(task, **splits)
