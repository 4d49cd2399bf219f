from pathlib import Path

import pytest

from pipeline.text import alike, readings
from pipeline.text.alike import compare, sign
from pipeline.text.dedup import identity
from pipeline.text.readings import Dealer, Row

WORDS = [f"word{at}" for at in range(400)]
SETTINGS = {"shingle_words": 3, "permutations": 128, "bands": 32}


def text(start: int, *, changed: int = 0) -> list[str]:
    """Two hundred words from a place on, with some of them changed."""
    words = WORDS[start : start + 200]
    words[50 : 50 + changed] = [f"new{at}" for at in range(changed)]
    return [" ".join(words[at : at + 20]) for at in range(0, 200, 20)]


def row(name: str, sentences: list[str]) -> Row:
    return Row(identity(sentences), "s", name, "", sentences)


def signed(folder: Path, *rows: Row) -> Path:
    folder.mkdir()
    with Dealer(folder, 4) as dealer:
        for one in rows:
            dealer.add(one)
    path = folder / "signatures.arrow"
    assert sign(folder, path, **SETTINGS) == len(rows)
    return path


def removed(paths: list[Path], sources: list[int], without: list[str] | None = None) -> dict[str, str]:
    found = compare(paths, sources, without or [], bands=32, threshold=0.7)
    return dict(zip(found["removed"].to_pylist(), found["kept"].to_pylist(), strict=True))


FIRST, SECOND, OTHER = row("first", text(0)), row("second", text(0, changed=3)), row("other", text(200))


def test_almost_equal_documents_of_several_readings_are_found_and_the_first_sources_is_kept(tmp_path: Path) -> None:
    paths = [signed(tmp_path / "a", FIRST, OTHER), signed(tmp_path / "b", SECOND)]
    assert removed(paths, [0, 1]) == {SECOND.id: FIRST.id}
    assert removed(paths, [1, 0]) == {FIRST.id: SECOND.id}


def test_the_same_text_in_two_readings_is_one_document_and_no_near_duplicate(tmp_path: Path) -> None:
    paths = [signed(tmp_path / "a", FIRST, OTHER), signed(tmp_path / "b", FIRST)]
    assert removed(paths, [0, 1]) == {}


def test_documents_that_take_no_part_are_neither_kept_nor_removed(tmp_path: Path) -> None:
    third = row("third", text(0, changed=2))
    paths = [signed(tmp_path / "a", FIRST, OTHER), signed(tmp_path / "b", SECOND, third)]
    assert set(removed(paths, [0, 1])) == {SECOND.id, third.id}
    left = removed(paths, [0, 1], [FIRST.id])
    assert len(left) == 1
    assert FIRST.id not in {*left, *left.values()}


@pytest.mark.parametrize("flush", [1, 500, 1 << 20])
def test_the_result_does_not_depend_on_how_readings_are_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flush: int
) -> None:
    monkeypatch.setattr(readings, "FLUSH_CHARACTERS", flush)
    monkeypatch.setattr(alike, "SIGNED_BYTES", flush)
    rows = [row(f"{start} {changed}", text(start, changed=changed)) for start in (0, 100, 200) for changed in (0, 1, 2)]
    whole = removed([signed(tmp_path / "all", *rows)], [0])
    halves = [signed(tmp_path / "x", *rows[4:]), signed(tmp_path / "y"), signed(tmp_path / "z", *rows[:4])]
    assert removed(halves, [0, 0, 0]) == whole
    assert len(whole) == 6


def test_no_documents_have_no_duplicates(tmp_path: Path) -> None:
    assert removed([signed(tmp_path / "a")], [0]) == {}
