import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped

NEWS = Reading("news")


def read(file: Path) -> list[Document | Skipped]:
    (span,) = SOURCES["text"].cut(file)
    return list(SOURCES["text"].read(file, span, NEWS))


def test_blank_lines_part_documents_and_lines_are_paragraphs(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("\n\nOne.\nTwo\u00a0two.\n \t\n\nThree.", encoding="utf-8")
    assert read(file) == [
        Document("news", "a.txt:3", "", ["One.", "Two\u00a0two."]),
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
    plain, zipped = (read(tmp_path / name) for name in ("a.txt", "a.txt.gz"))
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


def test_of_a_cut_file_the_documents_before_the_cut_are_kept_if_that_is_wished(tmp_path: Path) -> None:
    file = tmp_path / "a.txt.gz"
    file.write_bytes(gzip.compress(b"One.\n\nTwo.\n" * 100_000)[:-12])
    *found, note = SOURCES["text"].read(file, SOURCES["text"].cut(file)[0], Reading("news", truncated="keep"))
    assert {tuple(document.paragraphs) for document in found if isinstance(document, Document)} == {
        ("One.",),
        ("Two.", "One."),
    }
    assert isinstance(note, Skipped)
    assert note.where == f"byte {file.stat().st_size}"


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"One.", b"Two two.", b"", b" ", b"\t\r"]), max_size=40), st.booleans())
def test_documents_are_the_same_however_the_bytes_arrive(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], end: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / "a.txt"
    file.write_bytes(b"\n".join(lines) + b"\n" * end)
    expected: dict[int, list[str]] = {}
    first = 0
    for number, line in enumerate(lines, start=1):
        text = line.decode().strip()
        first = (first or number) if text else 0
        if text:
            expected.setdefault(first, []).append(text)
    with pytest.MonkeyPatch.context() as patch:
        for size in (3, 1 << 18):
            patch.setattr("pipeline.text.sources.files.CHUNK_BYTES", size)
            assert read(file) == [Document("news", f"a.txt:{n}", "", texts) for n, texts in expected.items()]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["word", "é" * 7, "x" * 50, " ", "\n", "\n\n"]), max_size=60))
def test_a_long_document_comes_in_parts_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "a.txt"
    file.write_bytes("".join(words).encode())
    whole = read(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.text.sources.text.PART_BYTES", 20)
        patch.setattr("pipeline.text.sources.files.CHUNK_BYTES", 7)
        parts = read(file)
    texts: dict[str, str] = {}
    for part in parts:
        assert isinstance(part, Document)
        assert sum(len(paragraph.encode()) for paragraph in part.paragraphs) <= 20 + 2 * 7
        texts[part.title] = texts.get(part.title, "") + "".join(part.paragraphs).replace(" ", "")
    assert texts == {
        document.title: "".join(document.paragraphs).replace(" ", "")
        for document in whole
        if isinstance(document, Document)
    }


def test_ten_million_empty_lines_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\n" * 10_000_000 + b"One.")
    assert read(tmp_path / "a.txt") == [Document("news", "a.txt:10000001", "", ["One."])]


READ_AND_WEIGH = """
import resource, sys
from pathlib import Path
from pipeline.text.sources import SOURCES, Reading
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
path, before = Path(sys.argv[1]), peak()
(span,) = SOURCES["text"].cut(path)
lengths = [sum(map(len, part.paragraphs)) for part in SOURCES["text"].read(path, span, Reading("news"))]
print(len(lengths), sum(lengths), (peak() - before) // 1024)
"""


@pytest.mark.parametrize("separator", [b"\n", b" "])
def test_a_document_of_any_length_takes_the_memory_of_a_part(tmp_path: Path, separator: bytes) -> None:
    file = tmp_path / "a.txt"
    with file.open("wb") as out:
        for _ in range(100):
            out.write((b"Some words of a line that is not long." + separator) * 40_000)  # 156 MB in all
    command = [sys.executable, "-c", READ_AND_WEIGH, str(file)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    parts, characters, grown_mb = map(int, run.stdout.split())
    assert parts == 100 * 40_000 * 39 // 8_000_000 + 1
    assert characters == pytest.approx(100 * 40_000 * 38.5, rel=0.02)
    assert grown_mb < 100


@settings(deadline=None)
@given(data=st.binary(max_size=2000), packed=st.booleans())
def test_random_bytes_raise_nothing_but_what_a_user_can_mend(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, packed: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / ("a.txt.gz" if packed else "a.txt")
    file.write_bytes(gzip.compress(data)[: len(data)] if packed else data)
    try:
        assert all(isinstance(found, Document | Skipped) for found in read(file))
    except DataError as error:
        assert str(error).startswith(str(file))  # noqa: PT017 - most often there is none


def test_nul_bytes_reach_the_cleaning_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\0b\n\n\0\n")
    assert [document.paragraphs for document in read(tmp_path / "a.txt") if isinstance(document, Document)] == [
        ["a\0b"],
        ["\0"],
    ]


def test_an_empty_file_has_no_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n \n")
    assert read(tmp_path / "a.txt") == []


def test_the_sample_text_of_bert_has_three_documents(shared_data: Path) -> None:
    documents = read(shared_data / "oracle" / "bert-google" / "sample_text.txt")
    assert [len(d.paragraphs) for d in documents if isinstance(d, Document)] == [3, 13, 15]
