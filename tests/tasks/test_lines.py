import gzip
from pathlib import Path

import pytest

from pipeline.core.errors import DataError
from pipeline.tasks.lines import numbered


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_lines_are_numbered_from_one_without_their_ends(tmp_path: Path, name: str) -> None:
    data = "\ufeffa\tb\r\n\nü \u2028x \n last".encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert list(numbered(tmp_path / name)) == [(1, "a\tb"), (2, ""), (3, "ü \u2028x "), (4, " last")]


def test_a_byte_order_mark_is_dropped_only_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x\n\ufeffy")
    assert list(numbered(tmp_path / "a")) == [(1, "x"), (2, "\ufeffy")]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.tsv", b"", r"is empty; expected one row a line$"),
        ("a.tsv.gz", gzip.compress(b"", mtime=0), r"is empty"),
        ("a.tsv", b"ok\n\xff\xfe\n", r"line 2 is not UTF-8 \(invalid start byte\); convert the file$"),
        ("a.tsv", b"\xef\xbb\xbfcaf\xe9\n", r"line 1 is not UTF-8"),
        (
            "a.tsv.gz",
            gzip.compress(b"a\n" * 1000, mtime=0)[:-9],
            r"is cut or damaged \(.*\); download or copy it again$",
        ),
        ("a.tsv.gz", b"plain text", r"is cut or damaged \(Not a gzipped file"),
        ("a.tsv.gz", gzip.compress(b"a\n" * 9, mtime=0)[:12] + b"\xff" * 20, r"is cut or damaged"),
    ],
)
def test_a_file_that_is_not_whole_text_is_named(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=rf"/{name}: {reason}"):
        list(numbered(tmp_path / name))
