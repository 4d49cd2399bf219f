import bz2
import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.text.sources import SOURCES
from pipeline.text.sources.files import find, opened

TEXTS = r"\.txt$"


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text")


def test_a_file_is_taken_at_its_word(tmp_path: Path) -> None:
    put(tmp_path, "notes.md")
    assert find(tmp_path / "notes.md", TEXTS, "text") == [tmp_path / "notes.md"]


def test_a_folder_is_searched_in_a_fixed_order_without_hidden_files(tmp_path: Path) -> None:
    put(tmp_path, "b.txt", "a/c.txt", "a.txt", ".hidden.txt", ".git/x.txt", "other.md", "B.txt")
    assert [file.relative_to(tmp_path).as_posix() for file in find(tmp_path, TEXTS, "text")] == [
        "B.txt",
        "a.txt",
        "a/c.txt",
        "b.txt",
    ]


def test_a_glob_finds_files_but_neither_hidden_ones_nor_folders(tmp_path: Path) -> None:
    put(tmp_path, "part-2.txt", "part-1.txt", ".part-3.txt", "part-folder/x.txt")
    assert find(tmp_path / "*part-*", TEXTS, "text") == [tmp_path / "part-1.txt", tmp_path / "part-2.txt"]
    assert find(tmp_path / "**" / "x*", TEXTS, "text") == [tmp_path / "part-folder" / "x.txt"]


def test_a_file_whose_name_looks_like_a_glob_is_found(tmp_path: Path) -> None:
    put(tmp_path, "odd[1].txt")
    assert find(tmp_path / "odd[1].txt", TEXTS, "text") == [tmp_path / "odd[1].txt"]


def test_a_missing_path_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.txt: no such file or folder, .* expected text file"):
        find(tmp_path / "none.txt", TEXTS, "text file")


def test_a_folder_without_such_files_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "other.md")
    with pytest.raises(ConfigError, match=r"no book \(\.txt, \.txt\.gz\) in this folder; put one there"):
        SOURCES["books"].find(tmp_path)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("wikipedia", ["a.xml", "b.xml.bz2", "c.xml-p1p41242.bz2", "d.xml.gz"]),
        ("books", ["a.txt", "b.txt.gz"]),
        ("text", ["a.txt", "b.txt.gz", "c.gz"]),
        ("jsonl", ["a.jsonl", "b.jsonl.gz", "c.json.gz"]),
        ("parquet", ["a.parquet"]),
    ],
)
def test_each_source_finds_its_own_files_in_a_mixed_folder(tmp_path: Path, source: str, names: list[str]) -> None:
    put(tmp_path, "README.md", "enwiki-multistream-index.txt.bz2", "archive.tar.gz", *names)
    assert [file.name for file in SOURCES[source].find(tmp_path)] == names


def test_compression_is_told_by_the_first_bytes(tmp_path: Path) -> None:
    for name, data in (
        ("plain", b"text"),
        ("zipped", gzip.compress(b"text")),
        ("two", bz2.compress(b"te") + bz2.compress(b"xt")),
    ):
        (tmp_path / name).write_bytes(data)
        with opened(tmp_path / name) as stream:
            assert stream.read() == b"text"


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.98])
def test_a_cut_stream_is_an_error(tmp_path: Path, suffix: str, compress: type, kept: float) -> None:
    data = compress(os.urandom(100_000))
    file = tmp_path / f"cut{suffix}"
    file.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(DataError, match=rf"^{re.escape(str(file))}: cut at byte \d+"), opened(file) as stream:
        stream.read()


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_a_damaged_stream_is_an_error(tmp_path: Path, suffix: str, compress: type) -> None:
    data = bytearray(compress(os.urandom(100_000)))
    data[50_000] ^= 0xFF
    file = tmp_path / f"bad{suffix}"
    file.write_bytes(data)
    with (
        pytest.raises(DataError, match=r"damaged before byte \d+ \(.*\); download or copy it again"),
        opened(file) as stream,
    ):
        stream.read()


@pytest.mark.parametrize("content", [b"", b"plain text"])
def test_a_file_that_is_not_what_its_name_says_is_an_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "wiki.xml.bz2"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"wiki\.xml\.bz2: not a \.bz2 file"), opened(file):
        pass


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.txt: cannot be opened \(No such file"), opened(tmp_path / "gone.txt"):
        pass


def test_naming_the_sources_loads_no_parser() -> None:
    heavy = "{'lxml', 'mwparserfromhell', 'sentencex', 'charset_normalizer', 'pyarrow', 'numpy', 'torch'}"
    code = f"import sys, pipeline.text.sources; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert out.stdout.strip() == "[]"


def test_every_source_has_one_line_of_summary() -> None:
    assert list(SOURCES) == ["wikipedia", "books", "text", "jsonl", "parquet"]
    assert all(source.summary and "\n" not in source.summary for source in SOURCES.values())
