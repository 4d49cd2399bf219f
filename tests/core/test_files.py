import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError, StoreError
from pipeline.core.files import BLOCK_BYTES, Digests, SourceFile, read_json, require_unchanged, sha256_of, write_json


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store" / "digests.jsonl"


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1])
def test_a_file_is_hashed_whole_whatever_its_size(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_files_are_named_below_the_folder_they_share(memory: Path, tmp_path: Path) -> None:
    paths = [written(tmp_path / name, "x") for name in ("in/a.txt", "in/deep/b.txt")]
    digest = hashlib.sha256(b"x").hexdigest()
    assert Digests(memory).describe(paths) == (
        SourceFile("a.txt", paths[0], 1, digest),
        SourceFile("deep/b.txt", paths[1], 1, digest),
    )
    assert Digests(memory).describe(paths[1:])[0].name == "b.txt"
    assert Digests(memory).describe([]) == ()


def test_where_a_file_lies_is_no_part_of_what_it_is(memory: Path, tmp_path: Path) -> None:
    here, there = (written(tmp_path / folder / "a.txt", "x") for folder in ("here", "there"))
    (first,), (second,) = Digests(memory).describe([here]), Digests(memory).describe([there])
    assert first.what() == second.what() == {"name": "a.txt", "bytes": 1, "sha256": first.sha256}
    assert first.path != second.path


def test_a_relative_path_is_described_as_an_absolute_one(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "in" / "a.txt", "x")
    monkeypatch.chdir(tmp_path)
    assert Digests(memory).describe([Path("in/a.txt")]) == Digests(memory).describe([path])


def test_a_digest_is_remembered_for_the_next_process(memory: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "x")
    Digests(memory).describe([path])
    stat = path.stat()
    mark = f"{path}|1|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"
    memory.write_text(f'["{mark}", "from memory"]\n')
    assert Digests(memory).describe([path])[0].sha256 == "from memory"


def test_a_changed_file_is_hashed_again(memory: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "x")
    old = Digests(memory).describe([path])[0].sha256
    changed = path.stat().st_mtime_ns + 1_000_000_000
    path.write_text("y")  # of the same size
    os.utime(path, ns=(changed, changed))
    assert Digests(memory).describe([path])[0].sha256 == hashlib.sha256(b"y").hexdigest() != old


def test_a_file_changed_in_place_with_its_old_time_is_hashed_again(memory: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "x")
    Digests(memory).describe([path])
    old = path.stat().st_mtime_ns
    path.write_text("y")
    os.utime(path, ns=(old, old))
    assert Digests(memory).describe([path])[0].sha256 == hashlib.sha256(b"y").hexdigest()


def test_a_memory_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "x")
    (tmp_path / "digests.jsonl").mkdir()  # no file can be written there
    with pytest.raises(IsADirectoryError):
        (tmp_path / "digests.jsonl").open("a")
    digests = Digests(tmp_path / "none.jsonl")
    digests._memory = tmp_path / "digests.jsonl"
    assert digests.describe([path])[0].sha256 == sha256_of(path)


def test_a_file_that_changed_while_it_was_read_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "x")
    require_unchanged(path, sha256_of(path))
    with pytest.raises(DataError, match=r"a\.txt: was changed during the run"):
        require_unchanged(path, "0" * 64)


def test_a_line_of_the_memory_cut_by_a_kill_costs_only_time(memory: Path, tmp_path: Path) -> None:
    paths = [written(tmp_path / name, name) for name in ("a.txt", "b.txt")]
    Digests(memory).describe(paths)
    memory.write_text(memory.read_text()[:-30])
    described = Digests(memory).describe(paths)
    assert [file.sha256 for file in described] == [sha256_of(path) for path in paths]


def test_a_plan_makes_no_store(tmp_path: Path) -> None:
    Digests(tmp_path / "store" / "digests.jsonl").describe([written(tmp_path / "a.txt", "x")])
    assert not (tmp_path / "store").exists()


def test_a_file_that_cannot_be_read_is_one_sentence(memory: Path) -> None:
    with pytest.raises(DataError, match=r"^/proc/self/mem: cannot be read \(Input/output error\); check"):
        Digests(memory).describe([Path("/proc/self/mem")])


@settings(deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_json_reads_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    write_json(path, value)
    assert read_json(path) == value
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"a": 2, "b": object()})
    assert read_json(path) == {"a": 1}


def test_damaged_json_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"a\.json: is not JSON \(.*\); the store was changed by hand or the disk failed"
    ):
        read_json(written(tmp_path / "a.json", "{"))
