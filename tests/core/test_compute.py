from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.compute import Facts, Piece, StageCompute, adopt, sweep_drafts
from pipeline.core.errors import StoreError
from tests.core.places import InTurn


@dataclass(frozen=True)
class Job:
    """Text to write; a bad one fails."""

    text: str
    log: Path

    def what(self) -> dict[str, Any]:
        return {"text": self.text}


def write(job: Job, out: Path) -> Facts:
    with job.log.open("a") as log:
        log.write(job.text + "\n")
    (out / "text.txt").write_text(job.text)
    if job.text == "bad":
        raise ValueError("bad")
    return {"length": len(job.text)}


@pytest.fixture
def compute(tmp_path: Path) -> StageCompute:
    return StageCompute(InTurn(), tmp_path / "pieces", {"stage": "s", "version": 1}, lambda *_: None)


def run(compute: StageCompute, tmp_path: Path, *texts: str) -> list[Piece]:
    return compute.map(write, [Job(text, tmp_path / "log") for text in texts], key=Job.what, what="texts")


def test_pieces_come_in_item_order_with_their_facts(compute: StageCompute, tmp_path: Path) -> None:
    pieces = run(compute, tmp_path, "b", "aa")
    assert [piece.file("text.txt").read_text() for piece in pieces] == ["b", "aa"]
    assert [piece.facts for piece in pieces] == [{"length": 1}, {"length": 2}]


def test_a_finished_piece_is_never_made_again(compute: StageCompute, tmp_path: Path) -> None:
    run(compute, tmp_path, "a", "b")
    run(compute, tmp_path, "b", "c", "a")
    assert (tmp_path / "log").read_text().split() == ["a", "b", "c"]


def test_another_version_of_the_stage_makes_its_own_pieces(compute: StageCompute, tmp_path: Path) -> None:
    run(compute, tmp_path, "a")
    later = StageCompute(InTurn(), compute.pieces, {"stage": "s", "version": 2}, lambda *_: None)
    run(later, tmp_path, "a")
    assert (tmp_path / "log").read_text().split() == ["a", "a"]


def test_a_piece_that_fails_leaves_nothing_that_looks_finished(compute: StageCompute, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad"):
        run(compute, tmp_path, "good", "bad")
    assert [path for path in compute.pieces.iterdir() if not (path / "piece.json").exists()] == []
    assert len(list(compute.pieces.iterdir())) == 1


def test_the_draft_of_a_living_maker_is_left_alone(compute: StageCompute, tmp_path: Path) -> None:
    def sweep(job: Job, out: Path) -> Facts:
        sweep_drafts(compute.pieces)  # as another run in the same store does when it starts
        (out / "text.txt").write_text(job.text)
        return {}

    (piece,) = compute.map(sweep, [Job("a", tmp_path / "log")], key=Job.what, what="texts")
    assert piece.file("text.txt").read_text() == "a"


def test_drafts_of_killed_makers_are_swept(compute: StageCompute, tmp_path: Path) -> None:
    run(compute, tmp_path, "a")
    (compute.pieces / ".killed.123").mkdir()
    sweep_drafts(compute.pieces)
    assert len(list(compute.pieces.iterdir())) == 1


def test_a_piece_changed_behind_our_back_is_not_taken(compute: StageCompute, tmp_path: Path) -> None:
    (piece,) = run(compute, tmp_path, "a")
    adopt(piece, "text.txt", tmp_path / "out" / "text.txt")
    assert (tmp_path / "out" / "text.txt").read_text() == "a"
    piece.file("text.txt").write_text("b")
    with pytest.raises(StoreError, match="changed since it was made"):
        adopt(piece, "text.txt", tmp_path / "out" / "again.txt")
