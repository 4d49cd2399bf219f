import gzip
from pathlib import Path

import pytest

from pipeline.core.errors import DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped

NEWS = Reading("news")


def read(file: Path) -> list[Document | Skipped]:
    return list(SOURCES["text"].read(file, NEWS))


def test_blank_lines_part_documents_and_lines_are_paragraphs(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("\n\nOne.\nTwo\u00a0two.\n \t\n\nThree.", encoding="utf-8")
    assert read(file) == [
        Document("news", "a.txt:3", "", ["One.", "Two two."]),
        Document("news", "a.txt:7", "", ["Three."]),
    ]


def test_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfOne.\r\nTwo.\r\n\r\nThree.\r\n")
    assert [document.paragraphs for document in read(file) if isinstance(document, Document)] == [
        ["One.", "Two."],
        ["Three."],
    ]


def test_a_compressed_file_gives_the_same_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One.\n\nTwo.\n")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"One.\n\nTwo.\n"))
    plain, zipped = (SOURCES["text"].read(tmp_path / name, NEWS) for name in ("a.txt", "a.txt.gz"))
    assert [d.paragraphs for d in plain if isinstance(d, Document)] == [
        d.paragraphs for d in zipped if isinstance(d, Document)
    ]


def test_only_the_document_that_is_not_utf8_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"One.\n\nfine\ncaf\xe9\n\nThree.\n")
    first, bad, last = read(file)
    assert bad == Skipped("line 3", "not UTF-8 (byte 0xe9); convert the file to UTF-8")
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert last.paragraphs == ["Three."]


def test_a_cut_file_is_an_error_and_not_a_short_result(tmp_path: Path) -> None:
    file = tmp_path / "a.txt.gz"
    file.write_bytes(gzip.compress(b"One.\n\nTwo.\n" * 1000)[:-12])
    with pytest.raises(DataError, match=r"a\.txt\.gz: cut at byte"):
        read(file)


def test_an_empty_file_has_no_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n \n")
    assert read(tmp_path / "a.txt") == []


def test_the_sample_text_of_bert_has_three_documents(shared_data: Path) -> None:
    documents = read(shared_data / "oracle" / "bert-google" / "sample_text.txt")
    assert [len(d.paragraphs) for d in documents if isinstance(d, Document)] == [3, 13, 15]
