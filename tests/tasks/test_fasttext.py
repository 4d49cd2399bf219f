import gzip
from collections import Counter
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.outside import locate
from pipeline.tasks import TASKS
from pipeline.tasks.rows import Labelled

POLARITY = TASKS["polarity"]
SAMPLE = "package:gensim/test/test_data/pang_lee_polarity.cor"


def test_every_line_of_the_sample_is_a_row() -> None:
    path = locate(SAMPLE)
    rows = list(POLARITY.read(path))
    assert len(rows) == sum(1 for line in path.read_bytes().splitlines() if line.strip())
    assert Counter(row.answer for row in rows) == {"neg": 100, "pos": 100}
    assert sum("—" in row.first or "é" in row.first for row in rows) >= 5  # in lines that are not UTF-8
    assert all(row.first and not row.second and "__label__" not in row.first for row in rows)


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_line_begins_with_its_label_and_empty_lines_are_passed_over(tmp_path: Path, name: str) -> None:
    data = "\ufeff__label__pos a warm , funny film \n\n  \n__label__neg   dull\r\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert list(POLARITY.read(tmp_path / name)) == [
        Labelled("a warm , funny film", "", "pos"),
        Labelled("dull", "", "neg"),
    ]


@pytest.mark.parametrize(
    ("line", "begin"),
    [
        ("a film without label", "'a'"),
        ("__label__good a film", "'__label__good'"),
        ("pos a film", "'pos'"),
        ("x" * 99, f"'{'x' * 40}'"),
    ],
)
def test_a_line_without_a_known_label_is_named(tmp_path: Path, line: str, begin: str) -> None:
    (tmp_path / "a.txt").write_text(f"__label__neg dull\n{line}\n")
    expected = r"expected __label__neg or __label__pos$"
    with pytest.raises(DataError, match=rf"/a\.txt: line 2 begins with {begin}; {expected}"):
        list(POLARITY.read(tmp_path / "a.txt"))


def test_a_line_in_no_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("__label__pos é\n".encode() + b"__label__neg caf\xe9\n__label__neg \x81\n")
    rows = POLARITY.read(tmp_path / "a.txt")
    assert [next(rows), next(rows)] == [Labelled("é", "", "pos"), Labelled("café", "", "neg")]
    with pytest.raises(DataError, match=r"/a\.txt: line 3 is not UTF-8"):
        next(rows)


def test_the_one_file_is_the_training_set(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert POLARITY.files(tmp_path / "a.txt") == {"train": tmp_path / "a.txt"}
    with pytest.raises(ConfigError, match=r"nope: no such file; expected one with lines such as __label__pos"):
        POLARITY.files(tmp_path / "nope")
