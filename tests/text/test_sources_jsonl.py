import gzip
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped, files
from pipeline.text.sources.document import uncut

JSONL = SOURCES["jsonl"]
KEEP = Reading("web", truncated="keep")
LINES = st.one_of(
    st.builds(lambda text: json.dumps({"text": text}).encode(), st.text(max_size=40)),
    st.sampled_from([b"", b" ", b"\r", b"not JSON", b'{"text": "caf\xe9"}', b'["a"]']),
)


def read(file: Path, column: str = "text") -> list[Document | Skipped]:
    jsonl = SOURCES["jsonl"]
    return [found for span in jsonl.cut(file) for found in jsonl.read(file, span, Reading("web", column))]


def write(file: Path, *lines: str | bytes) -> Path:
    file.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return file


def test_a_record_becomes_a_document_with_its_title_and_address(tmp_path: Path) -> None:
    row = {"text": "One.\n\nTwo.\n", "title": "Home", "url": "https://example.org/", "id": 7}
    file = write(tmp_path / "a.jsonl", json.dumps(row), "", json.dumps({"text": "Three."}))
    assert read(file) == [
        Document("web", "Home", "https://example.org/", ["One.", "Two."]),
        Document("web", "a.jsonl at byte 85", "", ["Three."]),
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
    assert bad.where == "the line at byte 17"
    assert bad.reason.startswith(reason)


def test_half_a_surrogate_pair_does_not_reach_the_corpus(tmp_path: Path) -> None:
    (document,) = read(write(tmp_path / "a.jsonl", r'{"text": "a\ud83d b", "title": "\ud800x"}'))
    assert document == Document("web", "x", "", ["a b"])


def test_a_title_that_is_not_a_string_is_left_out(tmp_path: Path) -> None:
    (document,) = read(write(tmp_path / "a.jsonl", '{"text": "One.", "title": 3, "url": null}'))
    assert document == Document("web", "a.jsonl at byte 0", "", ["One."])


def test_a_cut_file_is_an_error_and_not_a_short_result(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"text": "One."}\n' * 1000)[:-12])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz: cut at byte"):
        read(file)


@settings(deadline=None)
@given(lines=st.lists(LINES, max_size=30), end=st.sampled_from([b"", b"\n", b"\n\n"]), step=st.integers(1, 200))
def test_spans_and_unpacked_chunks_together_hold_each_record_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], end: bytes, step: int
) -> None:
    folder = tmp_path_factory.mktemp("spans")
    data = b"\n".join(lines) + end
    (folder / "a.jsonl").write_bytes(data)
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(data))
    expected = list(JSONL.read(folder / "a.jsonl", uncut(folder / "a.jsonl")[0], Reading("web")))
    zipped = list(JSONL.read(folder / "a.jsonl.gz", uncut(folder / "a.jsonl.gz")[0], Reading("web")))
    assert JSONL.unpack
    (folder / "out").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "PLAIN_SPAN_BYTES", step)
        patch.setattr(files, "COMPRESSED_SPAN_BYTES", step // 4)
        assert read(folder / "a.jsonl") == expected
        if JSONL.cut(folder / "a.jsonl.gz"):
            return
        JSONL.unpack(folder / "a.jsonl.gz", folder / "out")
    chunks = sorted((folder / "out").iterdir())
    unpacked = [found for chunk in chunks for found in JSONL.read(chunk, uncut(chunk)[0], Reading("web"))]
    assert unpacked == zipped
    assert [renamed(found) for found in unpacked] == [renamed(found) for found in expected]


def renamed(found: Document | Skipped) -> tuple[str, ...]:
    if isinstance(found, Skipped):
        return found.where, found.reason
    return found.title.replace(".gz at", " at"), *found.paragraphs


def test_a_long_compressed_file_must_be_unpacked_and_a_short_one_not(tmp_path: Path) -> None:
    rows = [json.dumps({"text": " ".join(str(n**k) for k in range(20))}).encode() for n in range(20_000)]
    (tmp_path / "long.jsonl.gz").write_bytes(gzip.compress(b"\n".join(rows), 1))
    (tmp_path / "short.jsonl.gz").write_bytes(gzip.compress(rows[0]))
    assert JSONL.cut(tmp_path / "long.jsonl.gz") == []
    assert JSONL.cut(tmp_path / "short.jsonl.gz") == uncut(tmp_path / "short.jsonl.gz")
    assert JSONL.unpack
    (tmp_path / "out").mkdir()
    JSONL.unpack(tmp_path / "long.jsonl.gz", tmp_path / "out")
    chunks = sorted((tmp_path / "out").iterdir())
    assert len(chunks) > 3
    assert chunks[0].name == "long.jsonl.gz@000000000000000.gz"
    last = list(JSONL.read(chunks[-1], uncut(chunks[-1])[0], Reading("web")))[-1]
    assert isinstance(last, Document)
    assert last.title == f"long.jsonl.gz at byte {sum(map(len, rows[:-1])) + len(rows) - 1}"


def test_of_a_compressed_file_cut_anywhere_the_records_before_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [json.dumps({"text": f"Record {n * n * n}.", "title": f"{n}"}).encode() for n in range(3000)]
    data = gzip.compress(b"\n".join(rows))
    file = tmp_path / "a.jsonl.gz"
    monkeypatch.setattr(files, "COMPRESSED_SPAN_BYTES", 3000)
    for size in range(3001, len(data), 1000):
        file.write_bytes(data[:size])
        *found, note = JSONL.read(file, uncut(file)[0], KEEP)
        assert [document.title for document in found if isinstance(document, Document)] == [
            str(n) for n in range(len(found))
        ]
        assert isinstance(note, Skipped)
        assert (note.where, note.reason[:21]) == (f"byte {size}", "the file is cut here;")
        (tmp_path / f"{size}").mkdir()
        assert JSONL.cut(file) == []
        assert JSONL.unpack
        JSONL.unpack(file, tmp_path / f"{size}")
        chunks = sorted((tmp_path / f"{size}").iterdir())
        assert [one for chunk in chunks for one in JSONL.read(chunk, uncut(chunk)[0], KEEP)] == [*found, note]
        with pytest.raises(DataError, match=rf"a\.jsonl\.gz@\d+\.cut: cut at byte {size}, in the middle of"):
            list(JSONL.read(chunks[-1], uncut(chunks[-1])[0], Reading("web")))


def test_ten_million_empty_lines_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n" * 10_000_000 + b'{"text": "One."}')
    assert read(tmp_path / "a.jsonl") == [Document("web", "a.jsonl at byte 10000000", "", ["One."])]


def test_a_line_that_never_ends_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "RECORD_BYTES", 1 << 20)
    (tmp_path / "a.jsonl").write_bytes(b"[" + b'{"text": "One."}, ' * 100_000)
    with pytest.raises(DataError, match=r"a\.jsonl: no line ends within 1 MB; split the file, or name the right kind"):
        read(tmp_path / "a.jsonl")


def test_nul_bytes_and_halves_of_characters_do_no_harm(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", rb'{"text": "a\u0000b \udead c"}', b'{"text": "a\0b"}', b"\0\0\0")
    found, *skipped = read(file)
    assert found == Document("web", "a.jsonl at byte 0", "", ["a\0b  c"])
    assert [type(one) for one in skipped] == [Skipped, Skipped]


@settings(deadline=None)
@given(data=st.binary(max_size=2000), packed=st.booleans())
def test_random_bytes_raise_nothing_but_what_a_user_can_mend(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, packed: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / ("a.jsonl.gz" if packed else "a.jsonl")
    file.write_bytes(gzip.compress(data)[: len(data)] if packed else data)
    try:
        assert all(isinstance(found, Document | Skipped) for found in read(file))
    except DataError as error:
        assert re.match(re.escape(str(file)), str(error))  # noqa: PT017 - most often there is none


def test_of_a_record_of_many_columns_some_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({f"{n}" + "k" * 1000: n for n in range(3000)}))
    (found,) = SOURCES["jsonl"].read(file, uncut(file)[0], Reading("web"))
    assert isinstance(found, Skipped)
    assert found.reason.startswith("no text in the column 'text'; columns: 0kkkk")
    assert len(found.reason) < 600
