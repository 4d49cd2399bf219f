from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped


def read(file: Path, column: str = "text") -> list[Document | Skipped]:
    return list(SOURCES["parquet"].read(file, Reading("web", column)))


def write(file: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), file)
    return file


def test_a_row_becomes_a_document_with_its_title_and_address(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.parquet",
        text=["One.\nTwo.", "Three."],
        title=["Home", None],
        url=["https://example.org/", None],
        n=[1, 2],
    )
    assert read(file) == [
        Document("web", "Home", "https://example.org/", ["One.", "Two."]),
        Document("web", "a.parquet:2", "", ["Three."]),
    ]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_every_kind_of_string_column_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    file = write(tmp_path / "a.parquet", body=pa.array(["One.", "One."]).cast(kind))
    assert [d.paragraphs for d in read(file, "body") if isinstance(d, Document)] == [["One."], ["One."]]


def test_rows_beyond_one_batch_are_numbered_on(tmp_path: Path) -> None:
    documents = read(write(tmp_path / "a.parquet", text=[f"Row {n}." for n in range(1, 601)]))
    assert documents[-1] == Document("web", "a.parquet:600", "", ["Row 600."])
    assert len(documents) == 600


def test_a_row_without_text_or_not_in_utf8_is_skipped(tmp_path: Path) -> None:
    bad = pa.array([b"One.", None, b"caf\xe9"]).view(pa.string())
    document, *skipped = read(write(tmp_path / "a.parquet", text=bad))
    assert isinstance(document, Document)
    reason = "no text in the column 'text' (null, or not UTF-8)"
    assert skipped == [Skipped("row 2", reason), Skipped("row 3", reason)]


def test_a_file_without_the_column_is_an_error_that_names_those_it_has(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", body=["One."], n=[1])
    with pytest.raises(DataError, match=r"a\.parquet: no column 'text'; the file has body, n: name one"):
        read(file)


def test_a_column_that_holds_no_strings_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", text=[1], parts=[["One."]])
    with pytest.raises(DataError, match="the column 'text' holds int64, expected string"):
        read(file)
    with pytest.raises(DataError, match=r"the column 'parts' holds list<.*>, expected string"):
        read(file, "parts")


@pytest.mark.parametrize("kept", [0, 3, 2000, -4])
def test_a_cut_file_is_an_error(tmp_path: Path, kept: int) -> None:
    file = write(tmp_path / "a.parquet", text=[f"Row {n}." for n in range(2000)])
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"a\.parquet: not a whole Parquet file"):
        read(file)


def test_a_damaged_page_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", text=[f"Row {n}." for n in range(2000)])
    data = bytearray(file.read_bytes())
    data[4:400] = b"\xff" * 396
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.parquet: not a whole Parquet file"):
        read(file)
