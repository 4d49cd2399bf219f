import bz2
import gzip
import io
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.text.sources import SOURCES
from pipeline.text.sources.decompress import BOMB_FLOOR_BYTES, Stretch
from pipeline.text.sources.errors import CutError
from pipeline.text.sources.files import (
    CHUNK_BYTES,
    COMPRESSED_SPAN_BYTES,
    chunks,
    find,
    occurrences,
    opened,
    spans,
    stride,
)

COMPRESS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, "": bytes}
TEXTS = r"\.txt$"


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text")


def read_until_cut(file: Path) -> tuple[bytes, CutError | None]:
    read: list[bytes] = []
    try:
        with opened(file) as stream:
            read.extend(chunks(stream))
    except CutError as error:
        return b"".join(read), error
    return b"".join(read), None


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


def test_names_may_be_written_in_capitals(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", "EMMA10.TXT", "c.Txt", "d.dat")
    assert [file.name for file in find(tmp_path, TEXTS, "text")] == ["EMMA10.TXT", "a.txt", "c.Txt"]


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
    with pytest.raises(ConfigError, match=r"no JSON lines file \(\.jsonl, \.jsonl\.gz\) in this folder; put one there"):
        SOURCES["jsonl"].find(tmp_path, "train")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("wikipedia", ["a.xml", "b.xml.bz2", "c.xml-p1p41242.bz2", "d.xml.gz"]),
        ("text", ["a.txt", "b.txt.gz", "c.gz"]),
        ("jsonl", ["a.jsonl", "b.jsonl.gz", "c.json.gz"]),
        ("parquet", ["a.parquet"]),
    ],
)
def test_each_source_finds_its_own_files_in_a_mixed_folder(tmp_path: Path, source: str, names: list[str]) -> None:
    put(tmp_path, "README.md", "enwiki-multistream-index.txt.bz2", "archive.tar.gz", *names)
    assert [file.name for file in SOURCES[source].find(tmp_path, "train")] == names


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


def test_a_file_that_is_not_what_its_name_says_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "wiki.xml.bz2"
    file.write_bytes(b"plain text")
    with pytest.raises(DataError, match=r"wiki\.xml\.bz2: not a \.bz2 file"), opened(file):
        pass


@pytest.mark.parametrize("content", [b"", b"B", b"BZ", b"BZh"])
def test_a_file_that_is_cut_within_its_first_bytes_is_known_to_be_cut(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "wiki.xml.bz2"
    file.write_bytes(content)
    with pytest.raises(CutError, match=rf"wiki\.xml\.bz2: cut at byte {len(content)},"), opened(file) as stream:
        stream.read()


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_streams_follow_each_other_and_padding_is_no_stream(
    tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / f"many{suffix}"
    texts = [os.urandom(size) for size in (0, 1, 40_000, 0, 0, 300_000)]
    file.write_bytes(b"".join(map(compress, texts)) + bytes(40_000))
    with opened(file) as stream:
        assert stream.read() == b"".join(texts)


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_what_follows_a_stream_and_is_none_is_an_error(
    tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / f"more{suffix}"
    file.write_bytes(compress(b"text") + b"more than that")
    with pytest.raises(DataError, match=r"damaged before byte \d+ \("), opened(file) as stream:
        stream.read()


def test_one_stream_of_many_is_read_alone(tmp_path: Path) -> None:
    first, second, third = (bz2.compress(text) for text in (b"one", b"two", b"three"))
    file = tmp_path / "many.bz2"
    file.write_bytes(first + second + third)
    with opened(file, len(first), len(first + second)) as stream:
        assert stream.read() == b"two"


@settings(deadline=None)
@given(data=st.binary(max_size=5000), kind=st.sampled_from([".gz", ".bz2", ""]), cut=st.integers(0, 5000))
def test_what_can_be_read_of_a_cut_file_is_a_prefix(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str, cut: int
) -> None:
    compressed = COMPRESS[kind](data * 100)
    file = tmp_path_factory.getbasetemp() / f"prefix{kind or '.txt'}"
    file.write_bytes(compressed[:cut])
    if kind or not data.startswith((b"\x1f\x8b", b"BZh")):
        read, error = read_until_cut(file)
        assert (data * 100).startswith(read)
        assert (error is None) == (not kind or cut >= len(compressed))
        assert error is None or error.byte == cut


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_a_decompression_bomb_is_refused_while_it_is_read(
    tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / f"bomb{suffix}"
    file.write_bytes(compress(bytes(1 << 20)) * 100)
    sizes: list[int] = []
    with pytest.raises(DataError, match=r"a decompression bomb: \d+ bytes have grown"), opened(file) as stream:
        sizes.extend(map(len, chunks(stream)))
    assert sum(sizes) <= BOMB_FLOOR_BYTES


def test_small_files_and_honest_text_may_be_packed_tightly(tmp_path: Path) -> None:
    file = tmp_path / "zeros.gz"
    file.write_bytes(gzip.compress(bytes(BOMB_FLOOR_BYTES), 1))
    with opened(file) as stream:
        assert sum(map(len, chunks(stream))) == BOMB_FLOOR_BYTES
    lines = b"".join(b"%d: the same words in every line of a log that nobody reads\n" % n for n in range(5000))
    file.write_bytes(gzip.compress(lines) * 250)
    assert len(lines) * 250 > BOMB_FLOOR_BYTES > 10 * file.stat().st_size
    with opened(file) as stream:
        assert sum(map(len, chunks(stream))) == 250 * len(lines)


def test_a_file_that_a_disk_does_not_give_is_an_error(tmp_path: Path) -> None:
    class Failing(io.BufferedReader):
        def readinto(self, buffer: object) -> int:
            raise OSError(5, "Input/output error")

    (tmp_path / "a.txt").write_text("text")
    with (tmp_path / "a.txt").open("rb", buffering=0) as raw:
        stretch = Stretch(tmp_path / "a.txt", Failing(raw), None)
        with pytest.raises(DataError, match=r"a\.txt: cannot be read after byte 0 \(.*Input/output error\)"):
            stretch.read(10)


@settings(deadline=None)
@given(words=st.lists(st.sampled_from([b"mark", b"m", b"mar", b"other "]), max_size=60), begin=st.integers(0, 40))
def test_a_mark_is_found_wherever_it_stands(
    tmp_path_factory: pytest.TempPathFactory, words: list[bytes], begin: int
) -> None:
    data = b"".join(words)
    file = tmp_path_factory.getbasetemp() / "marks"
    file.write_bytes(data)
    expected = [match.start() for match in re.finditer(rb"mark", data) if match.start() >= begin]
    assert list(occurrences(file, b"mark", begin)) == expected


def test_a_mark_between_two_chunks_is_found_once(tmp_path: Path) -> None:
    file = tmp_path / "marks"
    at = [4 * CHUNK_BYTES - 3, 8 * CHUNK_BYTES - 1, 12 * CHUNK_BYTES]
    data = bytearray(13 * CHUNK_BYTES)
    for place in at:
        data[place : place + 4] = b"mark"
    file.write_bytes(data)
    assert list(occurrences(file, b"mark")) == at


@settings(deadline=None)
@given(borders=st.lists(st.integers(1, 9999), unique=True).map(sorted), step=st.integers(1, 2000))
def test_spans_cover_a_file_without_gaps_and_none_is_short(borders: list[int], step: int) -> None:
    found = spans(iter(borders), 10_000, step)
    assert [span.begin for span in found] == [0, *(span.end for span in found[:-1])]
    assert found[-1].end == 10_000
    assert {span.begin for span in found[1:]} <= set(borders)
    assert all(span.end - span.begin >= step for span in found[:-1])


def test_a_large_file_has_thousands_of_spans_and_a_small_one_few() -> None:
    assert stride(20_000_000_000, COMPRESSED_SPAN_BYTES) == pytest.approx(4_900_000, rel=0.01)
    assert stride(1_000_000, COMPRESSED_SPAN_BYTES) == COMPRESSED_SPAN_BYTES


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
    assert {"wikipedia", "books", "text", "jsonl", "parquet"} <= set(SOURCES)
    assert all(source.summary and "\n" not in source.summary for source in SOURCES.values())


def test_a_cut_file_is_told_whole_by_a_worker(tmp_path: Path) -> None:
    error = CutError(tmp_path / "a.gz", 12, "in the middle of a stream")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.byte) == (CutError, str(error), 12)


@pytest.mark.parametrize(
    ("kind", "name"), [("text", b"caf\xe9.txt"), ("warc", b"a\xff.html"), ("huggingface", b"\xe9.csv")]
)
def test_a_file_whose_name_is_not_utf8_is_an_error_that_names_it(tmp_path: Path, kind: str, name: bytes) -> None:
    file = tmp_path / os.fsdecode(name)
    file.write_bytes(b"text\nOne.\n")
    with pytest.raises(ConfigError, match="the name of this file is not UTF-8, as names must be; rename it") as caught:
        SOURCES[kind].find(tmp_path, "train")
    assert str(caught.value).startswith(repr(os.fsencode(file)))
