import gzip
import json
from pathlib import Path

import pytest

from pipeline.core.errors import DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped


def read(file: Path, column: str = "text") -> list[Document | Skipped]:
    return list(SOURCES["jsonl"].read(file, Reading("web", column)))


def write(file: Path, *lines: str | bytes) -> Path:
    file.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return file


def test_a_record_becomes_a_document_with_its_title_and_address(tmp_path: Path) -> None:
    row = {"text": "One.\n\nTwo.\n", "title": "Home", "url": "https://example.org/", "id": 7}
    file = write(tmp_path / "a.jsonl", json.dumps(row), "", json.dumps({"text": "Three."}))
    assert read(file) == [
        Document("web", "Home", "https://example.org/", ["One.", "Two."]),
        Document("web", "a.jsonl:3", "", ["Three."]),
    ]


def test_the_text_column_is_the_one_that_was_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", '{"body": "One.", "text": "no"}')
    assert [d.paragraphs for d in read(file, "body") if isinstance(d, Document)] == [["One."]]


def test_a_compressed_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(b'\xef\xbb\xbf{"text": "One."}\r\n'))
    assert [d.paragraphs for d in read(file) if isinstance(d, Document)] == [["One."]]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "caf\xe9"}', "not UTF-8 at byte 13 of the line"),
        (b'{"text": "cut', "not JSON (Unterminated string"),
        (b"[" * 100_000, "not JSON ("),
        (b'["text"]', "a JSON list, expected an object with the column 'text'"),
        (b'{"body": "x", "id": 1}', "no text in the column 'text'; columns: body, id"),
        (b"{}", "no text in the column 'text'; columns: none"),
        (b'{"text": null}', "no text in the column 'text'; columns: text"),
        (b'{"text": 3}', "no text in the column 'text'"),
    ],
)
def test_only_the_line_that_cannot_be_read_is_skipped(tmp_path: Path, line: bytes, reason: str) -> None:
    first, bad, last = read(write(tmp_path / "a.jsonl", '{"text": "One."}', line, '{"text": "Three."}'))
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert isinstance(bad, Skipped)
    assert bad.where == "line 2"
    assert bad.reason.startswith(reason)


def test_half_a_surrogate_pair_does_not_reach_the_corpus(tmp_path: Path) -> None:
    (document,) = read(write(tmp_path / "a.jsonl", r'{"text": "a\ud83d b", "title": "\ud800x"}'))
    assert document == Document("web", "x", "", ["a b"])


def test_a_title_that_is_not_a_string_is_left_out(tmp_path: Path) -> None:
    (document,) = read(write(tmp_path / "a.jsonl", '{"text": "One.", "title": 3, "url": null}'))
    assert document == Document("web", "a.jsonl:1", "", ["One."])


def test_a_cut_file_is_an_error_and_not_a_short_result(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"text": "One."}\n' * 1000)[:-12])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz: cut at byte"):
        read(file)
