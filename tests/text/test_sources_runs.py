import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.text.sources import files
from pipeline.text.sources.errors import CutError
from pipeline.text.sources.files import opened
from pipeline.text.sources.runs import origin, rewrite, runs, too_long

ANY = too_long(Path("a"), "line")


@settings(deadline=None)
@given(st.binary(max_size=200).map(lambda data: data.replace(b"\0", b"</p>")), st.integers(1, 20))
def test_runs_end_with_a_mark_and_together_are_the_stream(data: bytes, size: int) -> None:
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    found = list(runs(chunks, b"</p>", ANY))
    assert b"".join(found) == data
    assert all(run.endswith(b"</p>") for run in found[:-1])
    assert b"</p>" not in found[-1][:-4] or len(found[-1]) > 4 if found else not data


def test_a_record_beyond_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "RECORD_BYTES", 2 << 20)
    with pytest.raises(
        DataError, match=r"^a: no line ends within 2 MB; split the file, or name the right kind of source$"
    ):
        list(runs([bytes(1 << 20)] * 3, b"\n", ANY))


def test_chunks_are_named_by_where_they_begin_and_close_what_they_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "COMPRESSED_SPAN_BYTES", 25)
    (tmp_path / "w.gz").write_bytes(b"source")
    (tmp_path / "out").mkdir()
    records = [b"%049d\n" % n for n in range(7)]
    rewrite(tmp_path / "w.gz", tmp_path / "out", records, first=b"<a>\n", last=b"</a>")
    made = sorted((tmp_path / "out").iterdir())
    assert [origin(chunk) for chunk in made] == [("w.gz", 4), ("w.gz", 104), ("w.gz", 204), ("w.gz", 304)]
    texts = [gzip.decompress(chunk.read_bytes()) for chunk in made]
    assert texts[0] == b"<a>\n" + records[0] + records[1] + b"</a>"
    assert texts[-1] == b"<a>\n" + records[6] + b"</a>"


def test_a_file_that_was_not_unpacked_begins_at_its_beginning() -> None:
    assert origin(Path("folder/a.jsonl")) == ("a.jsonl", 0)
    assert origin(Path("user@12.gz")) == ("user@12.gz", 0)


def test_a_cut_is_noted_behind_what_was_read_before_it(tmp_path: Path) -> None:
    def records() -> Iterator[bytes]:
        yield b"one\n"
        raise CutError(tmp_path / "w.gz", 77, "somewhere")

    (tmp_path / "w.gz").write_bytes(os.urandom(100))
    (tmp_path / "out").mkdir()
    rewrite(tmp_path / "w.gz", tmp_path / "out", records())
    chunk, note = sorted((tmp_path / "out").iterdir())
    assert gzip.decompress(chunk.read_bytes()) == b"one\n"
    with pytest.raises(CutError, match=r"w\.gz@000000000000004\.cut: cut at byte 77,"), opened(note):
        pass
