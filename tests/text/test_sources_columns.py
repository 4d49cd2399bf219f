import csv
import gzip
import io
import lzma
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped, Span


def read(file: Path, column: str = "text", **how: str) -> list[Document | Skipped]:
    return list(SOURCES["csv"].read(file, Span(0, file.stat().st_size), Reading("web", column, **how)))  # type: ignore[arg-type]


def table(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_a_row_becomes_a_document_with_its_title_and_address(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", "id,text,title,url\r\n7,One.,Home,https://example.org/\r\n8,Two.,,\r\n")
    assert read(file) == [
        Document("web", "Home", "https://example.org/", ["One."]),
        Document("web", "a.csv:3", "", ["Two."]),
    ]


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t"), ("a.csv", ";"), ("a.tsv", ",")])
def test_the_delimiter_is_the_one_that_gives_the_named_column(tmp_path: Path, name: str, delimiter: str) -> None:
    file = table(
        tmp_path / name,
        f"id{delimiter}body\n1{delimiter}One, two; three.\n".replace("One,", '"One,').replace(".\n", '."\n'),
    )
    assert [d.paragraphs for d in read(file, "body") if isinstance(d, Document)] == [["One, two; three."]]


def test_quoted_fields_hold_delimiters_line_breaks_and_doubled_quotes(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", '\ufefftext,id\n"He said ""no"", twice.\n\nThen left.",1\n"b\r\nc",2\n')
    assert [d.paragraphs for d in read(file) if isinstance(d, Document)] == [
        ['He said "no", twice.', "Then left."],
        ["b\r", "c"],
    ]


def test_a_missing_column_is_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", "id,body\n1,x\n")
    with pytest.raises(DataError, match=r"a\.csv: no column 'text'; the file has id, body: name one of these"):
        read(file)


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'text'; the file has no columns"):
        read(table(tmp_path / "a.csv", "\n\n"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"only one", "1 fields, expected 2"),
        (b"1,2,3", "3 fields, expected 2"),
        (b"caf\xe9,1", "not UTF-8"),
        (b'"a"b,1', "not a row of a table ("),
    ],
)
def test_only_the_row_that_cannot_be_read_is_skipped(tmp_path: Path, row: bytes, reason: str) -> None:
    first, bad, last = read(table(tmp_path / "a.csv", b"text,id\nOne.,1\n" + row + b"\nThree.,3\n"))
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert last.title == "a.csv:4"
    assert isinstance(bad, Skipped)
    assert bad.where == "line 3"
    assert bad.reason.startswith(reason)


def test_nul_bytes_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    documents = read(table(tmp_path / "a.csv", "text,id\n\n\na\0b,1\n\n"))
    assert [d.paragraphs for d in documents if isinstance(d, Document)] == [["a\0b"]]


def test_a_field_longer_than_the_usual_limit_is_read(tmp_path: Path) -> None:
    field = "word " * 100_000
    (document,) = read(table(tmp_path / "a.csv", f"text,id\n{field},1\n"))
    assert isinstance(document, Document)
    assert document.paragraphs == [field]


def test_a_quote_that_is_never_closed_is_an_error_or_the_end(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", 'text,id\nOne.,1\n"Two.,2\nThree.,3\n')
    with pytest.raises(DataError, match=r"a\.csv: cut at byte 32, in quotes that open after line 2"):
        read(file)
    kept, note = read(file, truncated="keep")
    assert isinstance(kept, Document)
    assert isinstance(note, Skipped)


def test_a_cut_compressed_file_is_an_error_or_gives_a_clean_prefix(tmp_path: Path) -> None:
    rows = "".join(f"Sentence {n} of {n * n}.,{n}\n" for n in range(20_000))
    whole = read(table(tmp_path / "whole.csv", "text,id\n" + rows))
    file = table(tmp_path / "a.csv.gz", gzip.compress(("text,id\n" + rows).encode())[:-1000])
    with pytest.raises(DataError, match=r"a\.csv\.gz: cut at byte"):
        read(file)
    *kept, note = read(file, truncated="keep")
    assert isinstance(note, Skipped)
    assert len(kept) > 1000
    assert [d.paragraphs for d in kept if isinstance(d, Document)] == [
        d.paragraphs for d in whole[: len(kept)] if isinstance(d, Document)
    ]


def test_a_folder_without_a_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no table"):
        SOURCES["csv"].find(tmp_path, "train")


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=10))
def test_whatever_is_written_as_csv_is_read_back(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("text", "id"), *rows])
    documents = read(table(tmp_path_factory.mktemp("csv") / "a.csv", out.getvalue()))
    expected = [[part for part in text.split("\n") if part and not part.isspace()] for text, _ in rows]
    assert [d.paragraphs for d in documents if isinstance(d, Document)] == expected


@given(data=st.binary(max_size=300), named=st.booleans())
def test_no_bytes_raise_anything_but_a_data_error(
    data: bytes, named: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = table(tmp_path_factory.mktemp("csv") / "a.csv", b"text,id\n" + data if named else data)
    with suppress(DataError):
        read(file)


def test_papers_of_real_tables_are_read_as_python_reads_them(shared_data: Path, tmp_path: Path) -> None:
    data = lzma.decompress((shared_data / "domain" / "arxiv-cs.IR" / "cs.IR.tsv.xz").read_bytes())
    documents = read(table(tmp_path / "cs.IR.tsv", data), "abstract")
    csv.field_size_limit(sys.maxsize)
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline=""), delimiter="\t"))
    assert len(documents) == len(rows) == 6767
    for document, row in zip(documents, rows, strict=True):
        assert isinstance(document, Document)
        assert "\n".join(document.paragraphs).split() == row["abstract"].split()
        assert document.title.split() == row["title"].split()


def test_a_quote_that_was_not_meant_to_open_costs_its_own_row_alone(tmp_path: Path) -> None:
    rows = ["One.,1", '"unclosed,2', "good one,3", "good two,4", '"quoted, ok",5', "last,6"]
    first, bad, *others = read(table(tmp_path / "a.csv", "\n".join(["text,id", *rows])))
    assert isinstance(bad, Skipped)
    assert (bad.where, bad.documents) == ("line 3", 1)
    assert [(d.title, d.paragraphs) for d in (first, *others) if isinstance(d, Document)] == [
        ("a.csv:2", ["One."]),
        ("a.csv:4", ["good one"]),
        ("a.csv:5", ["good two"]),
        ("a.csv:6", ["quoted, ok"]),
        ("a.csv:7", ["last"]),
    ]


def test_rows_after_a_wrong_quote_may_have_quotes_and_lines_of_their_own(tmp_path: Path) -> None:
    text = 'text,id\n"a,1\n"two\nlines",2\n"b"x,3\n"",4\n"c,5\n"d ""e""\n\nf",6\n'
    found = read(table(tmp_path / "a.csv", text))
    assert [d.where for d in found if isinstance(d, Skipped)] == ["line 2", "line 5", "line 7"]
    assert [(d.title, d.paragraphs) for d in found if isinstance(d, Document)] == [
        ("a.csv:3", ["two", "lines"]),
        ("a.csv:6", []),
        ("a.csv:8", ['d "e"', "f"]),
    ]


@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 99), st.sampled_from(["{},1", '"{}",1', '"{}\nx",1', '"{},1', '"{}"x,1'])), max_size=20
    )
)
def test_whatever_rows_are_wrong_each_good_one_is_read_in_its_order(
    rows: list[tuple[int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    body = "".join(form.format(f"word {n}") + "\n" for n, form in rows)
    found = read(table(tmp_path_factory.mktemp("csv") / "a.csv", f'text,id\n{body}"the end, quoted",1\n'))
    texts = [d.paragraphs[0] for d in found if isinstance(d, Document)]
    good = [f"word {n}" for n, form in rows if form in ("{},1", '"{}",1', '"{}\nx",1')]
    assert texts == [*good, "the end, quoted"]
    assert sum(isinstance(d, Skipped) for d in found) == len(rows) - len(good)
