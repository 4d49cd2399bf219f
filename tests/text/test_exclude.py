from pathlib import Path

import pytest

from pipeline.core.arrow import read_batches
from pipeline.core.errors import DataError
from pipeline.text.dedup import identity
from pipeline.text.exclude import find, listed
from pipeline.text.readings import Dealer, Row, index_of


def reading(folder: Path, *titles: str) -> Path:
    folder.mkdir()
    with Dealer(folder, 3) as dealer:
        for title in titles:
            text = [f"This is the text of {title}."]
            dealer.add(Row(identity(text), "s", title, f"https://example.org/{title}", text))
    return index_of(folder)


def test_a_line_is_an_id_a_title_or_a_url(tmp_path: Path) -> None:
    index = reading(tmp_path / "a", "one", "two", "three", "four")
    of = {row["title"]: row["id"] for batch in read_batches(index) for row in batch.to_pylist()}
    found = find([of["one"], "two", "https://example.org/three"], [index])
    assert found.ids == {of["one"], of["two"], of["three"]}
    assert found.unmatched == ()


def test_lines_that_mean_no_document_are_told(tmp_path: Path) -> None:
    indexes = [reading(tmp_path / "a", "one"), reading(tmp_path / "b", "one", "two")]
    found = find(["one", "nobody", "zebra"], indexes)
    assert len(found.ids) == 1  # the same text twice
    assert found.unmatched == ("nobody", "zebra")


def test_blank_lines_do_not_count_and_spaces_are_plain(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffone\r\n\r\n  New\u00a0York \n# no comment\n".encode())
    assert listed(path) == ["one", "New York", "# no comment"]


def test_a_list_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match=r"list\.txt: not UTF-8 at byte 3; convert the list to UTF-8"):
        listed(path)
