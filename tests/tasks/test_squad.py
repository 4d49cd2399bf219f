import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.tasks import TASKS
from pipeline.tasks.rows import Passage, Question

SQUAD = TASKS["squad"]


def read(path: Path) -> list[Any]:
    return list(SQUAD.read(path))


def paragraph(**qa: Any) -> dict[str, Any]:
    qas = [{"id": "7", "question": "Where?", "answers": [{"text": "France", "answer_start": 3}], **qa}]
    return {"data": [{"title": "x", "paragraphs": [{"context": "In France.", "qas": qas}]}]}


def written(folder: Path, data: Any) -> Path:
    (folder / "train.json").write_text(data if isinstance(data, str) else json.dumps(data))
    return folder / "train.json"


@pytest.mark.parametrize(
    ("file", "questions", "impossible"),
    [
        ("squad-v1.1-subset20/dev.json.gz", 4639, 0),
        ("squad-v1.1-train-sample-derived/train-sample.json.gz", 3678, 0),
        ("squad-v2.0-cs224n-dev/dev-v2.0.json.gz", 6078, 3168),
    ],
)
def test_every_question_of_the_real_files_is_read(
    shared_data: Path, file: str, questions: int, impossible: int
) -> None:
    rows = read(shared_data / "squad" / file)
    assert len(rows) == len({row.id for row in rows}) == questions
    assert sum(row.answer == () for row in rows) == impossible
    for row in rows:
        assert all(row.context[mark.first :].startswith(mark.text) for mark in row.answer)


def test_a_question_reads_as_published(shared_data: Path) -> None:
    row = read(shared_data / "squad" / "squad-v2.0-cs224n-dev" / "dev-v2.0.json.gz")[0]
    assert row.question == "In what country is Normandy located?"
    assert row.answer == (Passage("France", 159),) * 4


def test_versions_differ_in_questions_without_an_answer(tmp_path: Path) -> None:
    row = Question("7", "Where?", "In France.", (Passage("France", 3),))
    assert read(written(tmp_path, paragraph())) == [row]
    assert read(written(tmp_path, paragraph(is_impossible=False))) == [row]
    assert read(written(tmp_path, paragraph(is_impossible=True, answers=[])))[0].answer == ()
    unlabelled = paragraph()
    del unlabelled["data"][0]["paragraphs"][0]["qas"][0]["answers"]
    assert read(written(tmp_path, unlabelled))[0].answer is None


def test_the_official_names_of_files_are_found(tmp_path: Path) -> None:
    for name in ("train-v2.0.json", "dev-v2.0.json.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"{}"))
    assert SQUAD.files(tmp_path) == {"train": tmp_path / "train-v2.0.json", "dev": tmp_path / "dev-v2.0.json.gz"}
    (tmp_path / "train-v1.1.json").touch()
    with pytest.raises(
        ConfigError, match=r"train-v1\.1\.json, train-v2\.0\.json could all be train\*\.json; leave one"
    ):
        SQUAD.files(tmp_path)


def test_a_question_may_be_numbered(tmp_path: Path) -> None:
    assert [row.id for row in read(written(tmp_path, paragraph(id=7)))] == ["7"]


WHERE = r"data\.0\.paragraphs\.0"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('{"data": [\n{"title"}', r"line 2 is not JSON \(Expecting ':' delimiter, column 9\)"),
        ("[1]", r"the file is no JSON object; expected one with the field data, as in SQuAD$"),
        ({"version": "1.1"}, r"the file has no field data; its fields are version$"),
        ({"data": {}}, r"the file has '\{\}' in the field data; expected a list$"),
        ({"data": []}, r"holds no questions; expected some in data, paragraphs, qas$"),
        ({"data": [{"title": "x"}]}, r"data\.0 has no field paragraphs; its fields are title$"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, rf"{WHERE} has no field context"),
        ({"data": [{"paragraphs": [{"context": 5}]}]}, rf"{WHERE} has '5' in the field context; expected text$"),
        ({"data": [{"paragraphs": [{"context": "x", "qas": [3]}]}]}, rf"{WHERE}\.qas\.0 is no JSON object"),
        (paragraph(id=True), rf"{WHERE}\.qas\.0 has 'True' in the field id; expected text$"),
        (paragraph(question=None), rf"{WHERE}\.qas\.0 has 'None' in the field question; expected text$"),
        (
            paragraph(answers=[{"text": "France", "answer_start": 4}]),
            rf"{WHERE}\.qas\.0 \(question 7\) has the answer 'France' at character 4, where its context of 10 characters "
            r"has another text; mend answer_start$",
        ),
        (paragraph(answers=[{"text": "France", "answer_start": 99}]), r".* at character 99, where its context of 10"),
        (paragraph(answers=[{"text": "n", "answer_start": -4}]), r".* at character -4"),
        (paragraph(answers=[{"text": "n", "answer_start": "3"}]), r".* at character 3, where"),
        (paragraph(answers=[{"text": "", "answer_start": 3}]), r".* has the answer '' at character 3"),
        (paragraph(answers=[{"text": "France"}]), r".*\(question 7\) has no field answer_start; its fields are text$"),
        (paragraph(answers=[]), r".*\(question 7\) has neither an answer nor is_impossible; expected one of them$"),
        (paragraph(is_impossible=True), r".*\(question 7\) has is_impossible and answers too; expected one of them$"),
    ],
)
def test_a_malformed_file_is_named_with_its_place(tmp_path: Path, data: Any, reason: str) -> None:
    with pytest.raises(DataError, match=rf"/train\.json: {reason}"):
        read(written(tmp_path, data))
