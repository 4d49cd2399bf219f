import bz2
import os
from pathlib import Path

import pytest

from pipeline.text.sources import files, multistream
from pipeline.text.sources.document import Span, uncut

DUMP = "enwiki-multistream-derived/enwiki-pages-articles-multistream.xml.bz2"
OFFSETS = [638, 575005, 1617601]
"""Of its streams of pages, as its index says."""


@pytest.fixture
def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "COMPRESSED_SPAN_BYTES", 100)


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """Ten streams of 300 bytes and an index that tells where the middle eight are."""
    streams = [bz2.compress(os.urandom(200)) for _ in range(10)]
    file = tmp_path / "enwiki-pages-articles-multistream1.xml-p1p9.bz2"
    file.write_bytes(b"".join(streams))
    offsets = [sum(map(len, streams[:n])) for n in range(1, 9)]
    write_index(file, [f"{offset}:{page}:A: title" for offset in offsets for page in range(3)])
    return file


def write_index(file: Path, lines: list[str]) -> Path:
    index = file.with_name("enwiki-pages-articles-multistream-index1.txt-p1p9.bz2")
    index.write_bytes(bz2.compress("".join(f"{line}\n" for line in lines).encode()))
    return index


def test_the_streams_of_a_real_dump_are_where_its_index_says(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shared_data / "wikipedia" / DUMP
    (tmp_path / real.name).write_bytes(real.read_bytes())  # without its index
    monkeypatch.setattr(files, "COMPRESSED_SPAN_BYTES", 50)
    size = real.stat().st_size
    found = multistream.cut(tmp_path / real.name)
    assert [span.begin for span in found][:4] == [0, *OFFSETS]
    assert found[-1].end == size
    monkeypatch.setattr(files, "COMPRESSED_SPAN_BYTES", 400_000)
    assert multistream.cut(real) == multistream.cut(tmp_path / real.name) == [Span(0, 575005), Span(575005, size)]


def test_a_dump_is_cut_at_every_stream_or_at_few(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    for step in (100, 1000, 100_000):
        monkeypatch.setattr(files, "COMPRESSED_SPAN_BYTES", step)
        spans = multistream.cut(dump)
        lengths.append(len(spans))
        assert [span.begin for span in spans] == [0, *(span.end for span in spans[:-1])]
        assert spans[-1].end == dump.stat().st_size
    assert lengths[0] in (9, 10)  # with the index, the last stream belongs to the one before
    assert 1 < lengths[1] < 5
    assert lengths[2] == 1


def test_the_index_is_asked_first_and_saves_reading_the_dump(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "COMPRESSED_SPAN_BYTES", 400)
    by_index = multistream.cut(dump)
    assert len(by_index) > 3
    with monkeypatch.context() as patch:
        patch.setattr(multistream, "_starts", lambda path: iter(()))
        assert multistream.cut(dump) == by_index
    write_index(dump, []).unlink()
    assert multistream.cut(dump) == by_index


@pytest.mark.usefixtures("small_spans")
@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["garbage"],
        ["7:1:offset of another dump", "900:2:B"],
        ["-5:1:A"],
        ["99999999999999999999999999:1:A"],
        ["999999:1:A"],
        ["0:1:A"],
    ],
)
def test_an_index_that_does_not_fit_is_left_aside(dump: Path, lines: list[str]) -> None:
    write_index(dump, lines).rename(dump.with_name("kept"))
    expected = multistream.cut(dump)
    assert len(expected) == 10
    write_index(dump, lines)
    assert multistream.cut(dump) == expected


@pytest.mark.usefixtures("small_spans")
@pytest.mark.parametrize("kept", [0, 2, 60, -10])
def test_an_index_that_is_cut_is_left_aside(dump: Path, kept: int) -> None:
    index = write_index(dump, [])
    index.unlink()
    expected = multistream.cut(dump)
    index.write_bytes(bz2.compress(b"300:1:A\n" * 1000)[:kept])
    assert multistream.cut(dump) == expected


@pytest.mark.usefixtures("small_spans")
def test_one_stream_is_one_span_however_many_blocks_it_has(tmp_path: Path) -> None:
    file = tmp_path / "w.xml.bz2"
    file.write_bytes(bz2.compress(os.urandom(500_000), 1))
    assert multistream.cut(file) == uncut(file)


@pytest.mark.usefixtures("small_spans")
def test_the_mark_of_a_block_alone_does_not_begin_a_stream(tmp_path: Path) -> None:
    file = tmp_path / "w.xml.bz2"
    stream = bz2.compress(b"text")
    file.write_bytes(b"1AY&SY" + bytes(300) + stream + bytes(300) + b"BZh01AY&SY" + bytes(300))
    assert multistream.cut(file)[1].begin == 306
    assert len(multistream.cut(file)) == 2
