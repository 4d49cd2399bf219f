import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.core.errors import DataError
from pipeline.tables import encoded_schema, predicted_schema
from pipeline.tasks import TASKS, kinds
from pipeline.tasks.rows import Choice
from pipeline.tasks.task import Limits, Outcome

SWAG = TASKS["swag"]
HEADER = ",video-id,sent1,sent2,ending0,ending1,ending2,ending3,label"
ROW = Choice("The chicken cannot fly.", "It", ("flies.", "spreads its wings.", "crosses.", "tries."), 2)


def written(folder: Path, *lines: str, name: str = "train.csv") -> Path:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("file", "answers"),
    [
        ("codah-fold0-swagcsv-derived/train.csv", {0: 426, 1: 402, 2: 404, 3: 433}),
        ("codah-fold0-swagcsv-derived/dev.csv", {0: 149, 1: 140, 2: 124, 3: 143}),
        ("swag-sample/swag.csv", {0: 3, 1: 1, 2: 7}),
        ("swag-sample/sample.json", {0: 3, 1: 2, 3: 5}),
    ],
)
def test_every_question_of_the_real_files_is_read(shared_data: Path, file: str, answers: dict[int, int]) -> None:
    rows: list[Any] = list(SWAG.read(shared_data / "multiple-choice" / file))
    assert Counter(row.answer for row in rows) == answers
    assert all(row.context and len(row.endings) == 4 for row in rows)


def test_the_first_question_is_as_published(shared_data: Path) -> None:
    row: Any = next(iter(SWAG.read(shared_data / "multiple-choice" / "swag-sample" / "swag.csv")))
    assert (row.context, row.start) == ("Students lower their eyes nervously.", "She")
    assert row.endings[0] == "pats her shoulder, then saunters toward someone."


@pytest.mark.parametrize("split", ["train", "dev"])
def test_the_original_and_the_derived_layout_of_codah_hold_the_same(shared_data: Path, split: str) -> None:
    folder = shared_data / "multiple-choice"
    original: list[Any] = list(TASKS["codah"].read(folder / "codah-fold0" / f"{split}.tsv"))
    derived: list[Any] = list(SWAG.read(folder / "codah-fold0-swagcsv-derived" / f"{split}.csv"))
    assert [(row.endings, row.answer) for row in original] == [(row.endings, row.answer) for row in derived]
    texts = [" ".join(row.context.split()) for row in original]
    assert texts == [" ".join(f"{row.context} {row.start}".split()) for row in derived]


def test_quoted_cells_and_json_lines_read_alike(tmp_path: Path) -> None:
    line = '0,v,"The chicken\ncannot ""fly"", it seems.",It,a,b,c,d,3'
    table = list(SWAG.read(written(tmp_path, HEADER, line, line)))
    assert table[0] == Choice('The chicken\ncannot "fly", it seems.', "It", ("a", "b", "c", "d"), 3)
    assert [row.line for row in table] == [2, 4]
    record = {"sent1": 'The chicken\ncannot "fly", it seems.', "sent2": "It", "label": 3}
    record |= {f"ending{at}": text for at, text in enumerate("abcd")}
    assert list(SWAG.read(written(tmp_path, json.dumps(record), name="train.json"))) == table[:1]
    del record["label"]
    (unlabelled,) = SWAG.read(written(tmp_path, json.dumps(record), name="test.json"))
    assert unlabelled.answer is None


def test_the_official_names_of_splits_are_found(tmp_path: Path) -> None:
    for name in ("train.csv", "val.csv", "test.csv"):
        (tmp_path / name).touch()
    assert SWAG.files(tmp_path) == {
        "train": tmp_path / "train.csv",
        "dev": tmp_path / "val.csv",
        "test": tmp_path / "test.csv",
    }


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([HEADER.replace("sent2", "second"), "0,v,a,b,c,d,e,f,1"], r"has no column sent2; its columns are , video-id,"),
        ([HEADER, "0,v,a,b,c,d,e,f"], r"line 2 has 8 columns and the header 9"),
        ([HEADER, "0,v,a,b,c,d,e,f,4"], r"line 2 has the label '4'; expected one of 0, 1, 2, 3$"),
        ([HEADER, '0,v,"a,b,c,d,e,f,4', "x"], r"line 2 is not a row of a table \(unexpected end of data\); mend its"),
        ([HEADER], r"has a header and no rows"),
        ([json.dumps({"sent1": "a"})], r"line 1 has no field sent2; its fields are sent1$"),
        (
            [json.dumps(dict.fromkeys(("sent1", "sent2", *(f"ending{n}" for n in range(4))), 5))],
            r"line 1 has '5' in the",
        ),
        (["{", "}"], r"line 1 is not JSON \(Expecting property name"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, lines: list[str], reason: str) -> None:
    with pytest.raises(DataError, match=rf"/train\.csv: {reason}"):
        list(SWAG.read(written(tmp_path, *lines)))


def test_every_ending_is_a_sequence_behind_its_context(wordpiece: Any) -> None:
    rows = [ROW, Choice("It came.", "", ("a", "b", "c", "d"), None)]
    sequences = list(kinds.encode(SWAG, wordpiece, rows, SWAG.labels, Limits(sequence_length=64)))
    assert [(one["row"], one["label"]) for one in sequences] == [(0, 2)] * 4 + [(1, -1)] * 4
    assert sequences[1]["ids"] == wordpiece.encode("The chicken cannot fly.", "It spreads its wings.").ids
    assert sequences[4]["ids"] == wordpiece.encode("It came.", "a").ids


def test_a_report_says_which_ending_was_taken_for_which(wordpiece: Any) -> None:
    rows = [ROW, ROW, ROW, Choice("It came.", "", ("a", "b", "c", "d"), None)]
    encoded = pa.Table.from_pylist(
        list(kinds.encode(SWAG, wordpiece, rows, SWAG.labels, Limits(64))), encoded_schema("choose", 100)
    )
    probabilities = [[0.1, 0.1, 0.7, 0.1], [0.5, 0.2, 0.2, 0.1], [0.1, 0.9, 0.0, 0.0], [0.25] * 4]
    predicted = pa.table({"predicted": [2, 0, 1, 0], "probabilities": probabilities}, predicted_schema("choose"))
    report = kinds.report(SWAG, Outcome(rows, encoded, predicted, SWAG.labels, Limits(64)))
    assert report.scores == {"accuracy": pytest.approx(1 / 3)}
    assert report.mistakes["predicted"].to_pylist() == [1, 0]  # the surer one first
    assert report.table["endings"].to_pylist()[0][2] == "It crosses."
    assert report.table["label"].to_pylist() == [2, 2, 2, None]
    assert report.picture is not None
    assert report.picture.values == ((0, 0, 0, 0), (0, 0, 0, 0), (1, 1, 1, 0), (0, 0, 0, 0))
