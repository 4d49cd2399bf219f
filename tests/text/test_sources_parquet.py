import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped, files
from pipeline.text.sources.document import Span


def read(file: Path, column: str = "text") -> list[Document | Skipped]:
    parquet = SOURCES["parquet"]
    return [found for span in parquet.cut(file) for found in parquet.read(file, span, Reading("web", column))]


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


def grouped(file: Path, rows: int, rows_a_group: int) -> Path:
    table = pa.table({"text": [f"Row {n}. {n * n * n}" for n in range(1, rows + 1)]})
    pq.write_table(table, file, row_group_size=rows_a_group)
    return file


@pytest.mark.parametrize("step", [1, 5000, 20_000, 1 << 30])
def test_spans_of_row_groups_together_hold_each_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(files, "PLAIN_SPAN_BYTES", step)
    file = grouped(tmp_path / "a.parquet", 2000, 100)
    spans = SOURCES["parquet"].cut(file)
    assert [span.begin for span in spans] == [0, *(span.end for span in spans[:-1])]
    assert spans[-1].end == 20
    assert (len(spans) == 20, len(spans) == 1) == (step == 1, step == 1 << 30)
    assert [document.title for document in read(file) if isinstance(document, Document)] == [
        f"a.parquet:{n}" for n in range(1, 2001)
    ]


def test_a_span_of_a_file_without_the_column_is_an_error_too(tmp_path: Path) -> None:
    file = grouped(tmp_path / "a.parquet", 10, 5)
    with pytest.raises(DataError, match=r"a\.parquet: no column 'body'; the file has text: name one"):
        list(SOURCES["parquet"].read(file, Span(1, 2), Reading("web", "body")))


def test_a_file_without_rows_has_no_documents(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.parquet", text=pa.array([], pa.string()))) == []


READ_AND_WEIGH = """
import resource, sys
from pathlib import Path
from pipeline.text.sources import SOURCES, Reading
parquet, path = SOURCES["parquet"], Path(sys.argv[1])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(span,) = parquet.cut(path)
before = peak()
lengths = [len(row.paragraphs[0]) for row in parquet.read(path, span, Reading("web"))]
print(len(lengths), min(lengths), (peak() - before) // 1024)
"""


def test_one_text_that_is_named_in_every_row_is_held_a_few_times_only(tmp_path: Path) -> None:
    book = "word " * 2_000_000
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 80, pa.int32()), pa.array([book]))
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": column}), file, dictionary_pagesize_limit=1 << 30, store_schema=False)
    assert file.stat().st_size < 1_000_000
    command = [sys.executable, "-c", READ_AND_WEIGH, str(file)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    rows, length, grown_mb = map(int, run.stdout.split())
    assert (rows, length) == (80, len(book))
    assert grown_mb < 600  # all rows at once are 800 MB and more


@settings(deadline=None)
@given(where=st.integers(0, 1 << 20), data=st.binary(min_size=1, max_size=40))
def test_a_damaged_file_raises_nothing_but_what_a_user_can_mend(
    tmp_path_factory: pytest.TempPathFactory, where: int, data: bytes
) -> None:
    file = grouped(tmp_path_factory.getbasetemp() / "a.parquet", 300, 100)
    whole = bytearray(file.read_bytes())
    at = where % len(whole)
    whole[at : at + len(data)] = data
    file.write_bytes(whole)
    try:
        assert all(isinstance(found, Document | Skipped) for found in read(file))
    except DataError as error:
        assert str(error).startswith(str(file))  # noqa: PT017 - most often there is none


@settings(deadline=None)
@given(data=st.binary(max_size=500), magic=st.booleans())
def test_random_bytes_are_no_parquet_file(tmp_path_factory: pytest.TempPathFactory, data: bytes, magic: bool) -> None:
    file = tmp_path_factory.getbasetemp() / "random.parquet"
    file.write_bytes(b"PAR1" * magic + data + b"PAR1" * magic)
    with pytest.raises(DataError, match=r"random\.parquet: not a whole Parquet file"):
        read(file)


def test_a_damaged_page_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", text=[f"Row {n}." for n in range(2000)])
    data = bytearray(file.read_bytes())
    data[4:400] = b"\xff" * 396
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.parquet: not a whole Parquet file"):
        read(file)


@pytest.mark.parametrize(("names", "twice"), [(["text", "text"], "text"), (["text", "title", "title"], "title")])
def test_two_columns_of_one_name_are_an_error(tmp_path: Path, names: list[str], twice: str) -> None:
    columns = [pa.array([f"Column {n}."]) for n in range(len(names))]
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns, names=names), file)
    with pytest.raises(
        DataError, match=rf"a\.parquet: 2 columns are called '{twice}', expected one; rename the others"
    ):
        read(file)


def test_a_name_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["One."], "other": ["Two."]}), file, store_schema=False)
    file.write_bytes(file.read_bytes().replace(b"other", b"oth\xe9r"))
    with pytest.raises(DataError, match=r"a\.parquet: not a whole Parquet file \('utf-8' codec can't decode"):
        read(file)


@pytest.mark.parametrize("kind", [pa.string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("seed", range(2))
def test_whatever_bytes_are_flipped_the_error_is_one_that_a_user_can_mend(
    tmp_path: Path, kind: pa.DataType, seed: int
) -> None:
    texts = pa.array([f"Row {n % 20} of a table." for n in range(100)])
    file = write(tmp_path / "a.parquet", text=texts.cast(kind), title=texts.cast(kind))
    whole = file.read_bytes()
    random = Random(seed)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(random.randrange(1, 4)):
            damaged[random.randrange(len(whole))] = random.choice((random.randrange(256), 127, 255))
        file.write_bytes(damaged)
        with suppress(DataError):
            read(file)
