import gzip
from collections import Counter
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.tasks import TASKS, Row
from pipeline.tasks.glue import find_splits

RTE = TASKS["rte"]


def written(folder: Path, *lines: str, name: str = "train.tsv") -> Path:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


HEADER = "index\tsentence1\tsentence2\tlabel"


@pytest.mark.parametrize(
    ("task", "file", "rows", "labels"),
    [
        ("rte", "RTE/train.tsv.gz", 2490, {0: 1249, 1: 1241}),
        ("rte", "RTE/test.tsv.gz", 3000, {-1: 3000}),
        ("sst2", "SST-2/dev.tsv", 872, {0: 428, 1: 444}),
        ("sst2", "SST-2/test.tsv", 1821, {-1: 1821}),
        ("sst2", "SST-2/train.tsv.gz", 67349, {0: 29780, 1: 37569}),
    ],
)
def test_every_row_of_the_official_files_is_read(
    shared_data: Path, task: str, file: str, rows: int, labels: dict[int, int]
) -> None:
    read = list(TASKS[task].read(shared_data / "glue" / file))
    assert len(read) == rows
    assert Counter(row.label for row in read) == labels
    assert all(row.first == row.first.strip() != "" for row in read)
    assert all((row.second != "") is (task == "rte") for row in read)


def test_the_first_row_of_rte_is_as_published(shared_data: Path) -> None:
    row = next(iter(RTE.read(shared_data / "glue" / "RTE" / "train.tsv.gz")))
    assert row == Row(
        "No Weapons of Mass Destruction Found in Iraq Yet.", "Weapons of Mass Destruction Found in Iraq.", 1
    )
    assert RTE.labels[row.label] == "not_entailment"


def test_the_splits_of_the_official_folders_are_found(shared_data: Path) -> None:
    rte, sst2 = shared_data / "glue" / "RTE", shared_data / "glue" / "SST-2"
    assert find_splits(rte) == {"train": rte / "train.tsv.gz", "test": rte / "test.tsv.gz"}
    assert find_splits(sst2) == {
        "train": sst2 / "train.tsv.gz",
        "dev": sst2 / "dev.tsv",
        "test": sst2 / "test.tsv",
    }


def test_a_plain_file_goes_before_its_compressed_copy(tmp_path: Path) -> None:
    for name in ("train.tsv", "train.tsv.gz"):
        (tmp_path / name).touch()
    assert find_splits(tmp_path) == {"train": tmp_path / "train.tsv"}


def test_a_folder_without_a_training_set_is_refused(tmp_path: Path) -> None:
    written(tmp_path, HEADER, name="dev.tsv")
    with pytest.raises(ConfigError, match=r"holds no train\.tsv; expected a task's folder in the GLUE layout"):
        find_splits(tmp_path)


def test_quotes_are_ordinary_characters_and_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    file = written(tmp_path, "label\tsentence2\tsentence1", 'entailment\the said "no\tshe said "yes" ', "")
    file.write_text(file.read_text().rstrip("\n") + "\n")
    assert list(RTE.read(file)) == [Row('she said "yes"', 'he said "no', 0)]


@pytest.mark.parametrize("name", ["train.tsv", "train.tsv.gz"])
def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path, name: str) -> None:
    data = b"\xef\xbb\xbfsentence\tlabel\r\na warm film\t1\r\n"
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert list(TASKS["sst2"].read(tmp_path / name)) == [Row("a warm film", "", 1)]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            ["index\tsentence1\tlabel", "0\ta\tentailment"],
            r"has no column sentence2; its columns are index, sentence1, label$",
        ),
        ([HEADER, "0\ta\tb\tentailment", "1\ta\tb"], r"line 3 has 3 columns and the header 4; mend the row$"),
        ([HEADER, "0\ta\tb\tc\tentailment"], r"line 2 has 5 columns and the header 4"),
        ([HEADER, "0\ta\tb\tentailment", ""], r"line 3 has 1 columns and the header 4"),
        ([HEADER, "0\ta\tb\tmaybe"], r"line 2 has the label 'maybe'; expected one of entailment, not_entailment$"),
        ([HEADER], r"has a header and no rows; expected one row a line$"),
    ],
)
def test_a_malformed_table_is_named_with_its_line(tmp_path: Path, lines: list[str], reason: str) -> None:
    with pytest.raises(DataError, match=rf"/train\.tsv: {reason}"):
        list(RTE.read(written(tmp_path, *lines)))
