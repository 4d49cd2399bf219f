import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.tasks import TASKS
from pipeline.tasks.rows import Labelled, Scored

RTE = TASKS["rte"]
HEADER = "index\tsentence1\tsentence2\tlabel"
MNLI = "index\tpromptID\tpairID\tgenre\tsentence1\tsentence2\tlabel1\tgold_label"


def written(folder: Path, *lines: str, name: str = "train.tsv") -> Path:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("task", "file", "answers"),
    [
        ("cola", "CoLA/train.tsv.gz", {"0": 2528, "1": 6023}),
        ("cola", "CoLA/dev.tsv", {"0": 322, "1": 721}),
        ("cola", "CoLA/test.tsv", {None: 1063}),
        ("sst2", "SST-2/train.tsv.gz", {"0": 29780, "1": 37569}),
        ("sst2", "SST-2/dev.tsv", {"0": 428, "1": 444}),
        ("sst2", "SST-2/test.tsv", {None: 1821}),
        ("mrpc", "MRPC/train.tsv.gz", {"0": 1194, "1": 2474}),
        ("mrpc", "MRPC/dev.tsv.gz", {"0": 129, "1": 279}),
        ("mrpc", "MRPC/test.tsv.gz", {None: 1725}),
        ("qnli", "QNLI/dev.tsv.gz", {"entailment": 2702, "not_entailment": 2761}),
        ("rte", "RTE/train.tsv.gz", {"entailment": 1249, "not_entailment": 1241}),
        ("rte", "RTE/test.tsv.gz", {None: 3000}),
        ("wnli", "WNLI/train.tsv", {"0": 323, "1": 312}),
        ("wnli", "WNLI/dev.tsv", {"0": 40, "1": 31}),
        ("wnli", "WNLI/test.tsv", {None: 146}),
    ],
)
def test_every_row_of_the_official_files_is_read(
    shared_data: Path, task: str, file: str, answers: dict[str | None, int]
) -> None:
    rows: list[Any] = list(TASKS[task].read(shared_data / "glue" / file))
    assert Counter(row.answer for row in rows) == answers
    assert all(row.first == row.first.strip() != "" for row in rows)
    assert all((row.second != "") is (task not in ("cola", "sst2")) for row in rows)


@pytest.mark.parametrize(("file", "rows"), [("train.tsv.gz", 5749), ("dev.tsv", 1500), ("test.tsv", 1379)])
def test_every_row_of_the_similarity_benchmark_is_read_with_its_score(shared_data: Path, file: str, rows: int) -> None:
    read: list[Any] = list(TASKS["stsb"].read(shared_data / "glue" / "STS-B" / file))
    assert len(read) == rows
    scores = [row.answer for row in read]
    assert scores == [None] * rows if file == "test.tsv" else (min(scores), max(scores)) == (0.0, 5.0)


def test_rows_are_as_published(shared_data: Path) -> None:
    def first(task: str, file: str) -> Any:
        return next(iter(TASKS[task].read(shared_data / "glue" / file)))

    assert first("rte", "RTE/train.tsv.gz") == Labelled(
        "No Weapons of Mass Destruction Found in Iraq Yet.",
        "Weapons of Mass Destruction Found in Iraq.",
        "not_entailment",
    )
    assert first("cola", "CoLA/test.tsv") == Labelled("Bill whistled past the house.", "", None)
    assert first("cola", "CoLA/dev.tsv") == Labelled("The sailors rode the breeze clear of the rocks.", "", "1")
    assert first("stsb", "STS-B/dev.tsv") == Scored(
        "A man with a hard hat is dancing.", "A man wearing a hard hat is dancing.", 5.0
    )


def test_the_splits_of_the_official_folders_are_found(shared_data: Path) -> None:
    rte, sst2 = shared_data / "glue" / "RTE", shared_data / "glue" / "SST-2"
    assert RTE.files(rte) == {"train": rte / "train.tsv.gz", "test": rte / "test.tsv.gz"}
    assert RTE.files(sst2) == {"train": sst2 / "train.tsv.gz", "dev": sst2 / "dev.tsv", "test": sst2 / "test.tsv"}


def test_multi_genre_inference_has_two_development_sets(tmp_path: Path) -> None:
    names = ("train", "dev_matched", "dev_mismatched", "test_matched", "test_mismatched")
    row = "0\t1p\t1e\tfiction\tA dog runs.\tIt moves.\tneutral\tentailment"
    for name in names:
        written(tmp_path, MNLI, row, name=f"{name}.tsv")
    splits = ("train", "dev", "dev_mismatched", "test", "test_mismatched")
    mnli = TASKS["mnli"]
    assert mnli.files(tmp_path) == {split: tmp_path / f"{name}.tsv" for split, name in zip(splits, names, strict=True)}
    assert list(mnli.read(tmp_path / "train.tsv")) == [Labelled("A dog runs.", "It moves.", "entailment")]


def test_a_row_of_the_question_pairs_that_a_line_end_has_broken_is_put_together(tmp_path: Path) -> None:
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate"
    broken = ["2\t3\t4\tWas Muhammad real?", '"\tIs there evidence?\t0']
    path = written(tmp_path, header, "0\t1\t2\tWho?\tWhat?\t1", *broken, "5\t6\t7\tWhy?\tHow come?\t1")
    rows = list(TASKS["qqp"].read(path))
    assert rows == [
        Labelled("Who?", "What?", "1"),
        Labelled('Was Muhammad real? "', "Is there evidence?", "0"),
        Labelled("Why?", "How come?", "1"),
    ]
    assert [row.line for row in rows] == [2, 3, 5]


def test_a_row_of_the_question_pairs_that_stays_too_short_or_grows_too_long_is_named(tmp_path: Path) -> None:
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate"
    with pytest.raises(DataError, match=r"line 2 has 8 columns and the header 6"):
        list(TASKS["qqp"].read(written(tmp_path, header, "0\t1\t2", "0\t1\t2\tWho?\tWhat?\t1")))
    with pytest.raises(DataError, match=r"line 2 has 3 columns and the header 6"):
        list(TASKS["qqp"].read(written(tmp_path, header, "0\t1\t2")))


def test_a_plain_file_goes_before_its_compressed_copy_and_one_file_is_the_training_set(tmp_path: Path) -> None:
    for name in ("train.tsv", "train.tsv.gz"):
        (tmp_path / name).touch()
    assert RTE.files(tmp_path) == {"train": tmp_path / "train.tsv"}
    assert RTE.files(tmp_path / "train.tsv.gz") == {"train": tmp_path / "train.tsv.gz"}


def test_a_folder_without_a_training_set_is_refused(tmp_path: Path) -> None:
    written(tmp_path, HEADER, name="dev.tsv")
    with pytest.raises(ConfigError, match=r"holds no train\.tsv; expected a task's folder in the GLUE layout"):
        RTE.files(tmp_path)


def test_quotes_are_ordinary_characters_and_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    file = written(tmp_path, "label\tsentence2\tsentence1", 'entailment\the said "no\tshe said "yes" ')
    assert list(RTE.read(file)) == [Labelled('she said "yes"', 'he said "no', "entailment")]


@pytest.mark.parametrize(
    ("task", "lines"),
    [
        ("rte", ["", HEADER, "0\ta\tb\tentailment", "", ""]),
        ("cola", ["gj04\t1\t\tA dog runs.", ""]),
        ("qqp", ["id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "0\t1\t2\tWho?", "", "\tWhat?\t1", ""]),
        ("codah", ["i\tA hen\ta\tb\tc\td\t2", ""]),
    ],
)
def test_empty_lines_are_passed_over(tmp_path: Path, task: str, lines: list[str]) -> None:
    assert len(list(TASKS[task].read(written(tmp_path, *lines)))) == 1


@pytest.mark.parametrize("name", ["train.tsv", "train.tsv.gz"])
def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path, name: str) -> None:
    data = b"\xef\xbb\xbfsentence\tlabel\r\na warm film\t1\r\n"
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert list(TASKS["sst2"].read(tmp_path / name)) == [Labelled("a warm film", "", "1")]


@pytest.mark.parametrize(
    ("task", "lines", "reason"),
    [
        (
            "rte",
            ["index\tsentence1\tlabel", "0\ta\tentailment"],
            r"has no column sentence2; its columns are index, sentence1, label$",
        ),
        ("rte", [HEADER, "0\ta\tb\tentailment", "1\ta\tb"], r"line 3 has 3 columns and the header 4; mend the row$"),
        ("rte", [HEADER, "0\ta\tb\tc\tentailment"], r"line 2 has 5 columns and the header 4"),
        ("rte", [HEADER, "0\ta\tb\tentailment", "\t"], r"line 3 has 2 columns and the header 4"),
        ("rte", ["", ""], r"holds empty lines only; expected one row a line$"),
        ("cola", ["", ""], r"holds empty lines only; expected one row a line$"),
        (
            "rte",
            [HEADER + "\tlabel", "0\ta\tb\tentailment\tx"],
            r"has two columns label; expected one, rename the other$",
        ),
        (
            "rte",
            [HEADER, "0\ta\tb\tmaybe"],
            r"line 2 has the label 'maybe'; expected one of entailment, not_entailment$",
        ),
        ("rte", [HEADER], r"has a header and no rows; expected one row a line$"),
        ("rte", [HEADER + "\tsentence1", "0\ta\tb\tentailment\tc"], r"has two columns sentence1; expected one"),
        ("cola", ["gj04\t1\t\tA dog runs.", "gj04\t1\tA dog runs."], r"line 2 has 3 columns and the layout of CoLA 4"),
        ("cola", ["gj04\tyes\t\tA dog runs."], r"line 1 has the label 'yes'; expected one of 0, 1$"),
        ("stsb", ["sentence1\tsentence2\tscore", "a\tb\thigh"], r"line 2 has the score 'high'; expected a number"),
        ("stsb", ["sentence1\tsentence2\tscore", "a\tb\tnan"], r"line 2 has the score 'nan'; expected a number"),
        ("mnli", [MNLI, "0\t1\t2\tf\ta\tb\t-\t-"], r"line 2 has the label '-'; expected one of contradiction, "),
    ],
)
def test_a_malformed_table_is_named_with_its_line(tmp_path: Path, task: str, lines: list[str], reason: str) -> None:
    with pytest.raises(DataError, match=rf"/train\.tsv: {reason}"):
        list(TASKS[task].read(written(tmp_path, *lines)))
