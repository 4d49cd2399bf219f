import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.tasks import TASKS
from pipeline.tasks.rows import Labelled, Scored
from pipeline.tasks.task import Columns

TABLE = TASKS["table"]
SCORES = TASKS["table_scores"]
PAIRS = Columns("question", "reply", "kind")
ROWS = [Labelled('He said "no", \nloudly.', "Why?", "rude"), Labelled("Hello", "", "7")]


def written(folder: Path, text: str, name: str = "train.csv") -> Path:
    data = text.encode()
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder / name


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize(
    ("file", "answers"),
    [
        ("train.txt.gz", {"background": 4297, "method": 2038, "result": 985}),
        ("dev.txt.gz", {"background": 538, "method": 255, "result": 123}),
    ],
)
def test_every_row_of_a_real_table_is_read(shared_data: Path, file: str, answers: dict[str, int]) -> None:
    rows: list[Any] = list(TABLE.read(shared_data / "domain" / "sci-cite" / file))
    assert Counter(row.answer for row in rows) == answers
    assert all(row.first and not row.second for row in rows)
    assert TABLE.files(shared_data / "domain" / "sci-cite").keys() == {"train", "dev"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'n,kind,question,reply\n1,rude,"He said ""no"", \nloudly.",Why?\n2,7,Hello,\n'),
        ("a.tsv.gz", 'kind\treply\tquestion\nrude\tWhy?\t"He said ""no"", \nloudly."\n7\t\tHello\n'),
        (
            "a.txt.gz",
            lines(
                {"question": 'He said "no", \nloudly.', "reply": "Why?", "kind": "rude"},
                {"question": "Hello", "reply": "", "kind": 7, "more": []},
            )
            + "\n",
        ),
    ],
)
def test_all_layouts_read_alike(tmp_path: Path, name: str, text: str) -> None:
    assert list(TABLE.with_columns(PAIRS).read(written(tmp_path, text, name))) == ROWS


def test_a_table_without_the_label_column_is_an_unlabelled_test_set(tmp_path: Path) -> None:
    assert list(TABLE.read(written(tmp_path, "text\nHello\n"))) == [Labelled("Hello", "", None)]
    assert list(SCORES.read(written(tmp_path, lines({"text": "Hello"})))) == [Scored("Hello", "", None)]


def test_classes_may_be_numbers_and_truths(tmp_path: Path) -> None:
    path = written(tmp_path, lines({"text": "a", "label": True}, {"text": "b", "label": 0}))
    assert [row.answer for row in TABLE.read(path)] == ["true", "0"]


def test_numbers_are_read_as_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, lines({"text": "a", "label": 3}, {"text": "b", "label": "-1.5"}))
    assert [row.answer for row in SCORES.read(path)] == [3.0, -1.5]


def test_the_splits_of_a_folder_are_found(tmp_path: Path) -> None:
    for name in ("train.jsonl", "train.jsonl.gz", "validation.jsonl.gz", "test.csv"):
        (tmp_path / name).touch()
    assert {split: path.name for split, path in TABLE.files(tmp_path).items()} == {
        "train": "train.jsonl",
        "dev": "validation.jsonl.gz",
        "test": "test.csv",
    }
    (tmp_path / "train.csv").touch()
    with pytest.raises(
        ConfigError, match=r"train\.csv, train\.jsonl could all be train\.\*; leave one of them, or name"
    ):
        TABLE.files(tmp_path)


def test_a_task_that_knows_its_columns_keeps_them() -> None:
    assert TASKS["rte"].with_columns(PAIRS) is TASKS["rte"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("text,label\n", r"has a header and no rows"),
        ("words,label\na,b\n", r"has no column text; its columns are words, label$"),
        ("text,text,label\na,b,c\n", r"has two columns text; expected one, rename the other$"),
        ("text,label,label\na,b,c\n", r"has two columns label; expected one, rename the other$"),
        ("text,label\na,b,c\n", r"line 2 has 3 columns and the header 2; mend the row$"),
        ('text,label\na,"b\n', r"line 2 is not a row of a table \(unexpected end of data\); mend its quotation marks$"),
        ("text,label\na,\n", r"line 2 has nothing in the column label; expected a label$"),
        (lines({"text": "a", "label": "b"}) + "{'text'}\n", r"line 2 is not JSON \(Expecting property name"),
        (lines({"text": "a"}, [1]), r"line 2 is no JSON object; expected one a line, such as"),
        (lines({"txt": "a"}), r"line 1 has no field text; its fields are txt$"),
        (lines({"text": ["a"]}), r'line 1 has \["a"\] in the field text; expected text, or a number as a label$'),
        (lines({"text": "a", "label": None}), r"line 1 has null in the field label; expected text, or a number"),
        ("\n\n", r"has no column text; its columns are $"),
        ("", r"is empty; expected one row a line$"),
    ],
)
def test_a_malformed_table_is_named_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"/train\.csv: {reason}"):
        list(TABLE.read(written(tmp_path, text)))


def test_a_score_that_is_no_number_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/train\.csv: line 2 has the score 'b'; expected a number such as 3\.8$"):
        list(SCORES.read(written(tmp_path, "text,label\na,b\n")))
