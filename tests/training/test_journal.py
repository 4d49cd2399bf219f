"""The curve journal across kills."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import DataError
from pipeline.training import journal
from pipeline.training.journal import Journal


def _write(path: Path, *steps: int) -> None:
    writer = Journal(path)
    for step in steps:
        writer.append({"step": step, "loss": 1.0 / step, "seconds": 0.5})
        if step % 2 == 0:
            writer.append({"step": step, "held_out_loss": 2.0})
    writer.flush()
    writer.sync()
    writer.close()


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    _write(path, 1, 2, 3)
    path.write_text(path.read_text()[:-3])
    assert journal.last_step(path) == 2
    assert len(journal.read_lines(path)) == 3


def test_cutting_drops_what_came_after_and_writing_goes_on_there(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    _write(path, 1, 2, 3, 4)
    journal.cut(path, until=2)
    _write(path, 3)
    assert [(line["step"], "loss" in line) for line in journal.read_lines(path)] == [
        (1, True), (2, True), (2, False), (3, True),
    ]  # fmt: skip


def test_what_is_left_of_a_cut_journal_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints that the journal does not reach are not used."""
    path = tmp_path / "curve.jsonl"
    _write(path, 1, 2, 3)
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink()))
    journal.cut(path, until=2)
    assert synced == [tmp_path / ".curve.jsonl", tmp_path]


def test_a_gap_ends_what_can_be_relied_on(tmp_path: Path) -> None:
    _write(tmp_path / "curve.jsonl", 1, 2, 4)
    assert journal.last_step(tmp_path / "curve.jsonl") == 2


def test_what_happened_outlives_a_cut_and_is_no_part_of_the_curve(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    _write(path, 1, 2, 3)
    writer = Journal(path)
    writer.append({"step": 4, "event": "rewound", "to_step": 2, "reason": "the loss is nan", "batch": 3})
    writer.close()
    journal.cut(path, until=1)
    assert [line["step"] for line in journal.read_lines(path)] == [1, 4]
    assert journal.last_step(path) == 1
    journal.write_curve(journal.read_lines(path), tmp_path / "curve.parquet")
    assert pq.read_table(tmp_path / "curve.parquet").to_pydict() == {"step": [1], "loss": [1.0]}


def test_there_may_be_no_journal_yet(tmp_path: Path) -> None:
    assert journal.last_step(tmp_path / "curve.jsonl") == 0
    journal.cut(tmp_path / "new" / "curve.jsonl", until=0)
    assert journal.read_lines(tmp_path / "new" / "curve.jsonl") == []


def test_the_curve_has_a_row_a_step_and_no_clock(tmp_path: Path) -> None:
    _write(tmp_path / "curve.jsonl", 1, 2)
    journal.write_curve(journal.read_lines(tmp_path / "curve.jsonl"), tmp_path / "curve.parquet")
    assert pq.read_table(tmp_path / "curve.parquet").to_pydict() == {
        "step": [1, 2], "loss": [1.0, 0.5], "held_out_loss": [None, 2.0],
    }  # fmt: skip


@pytest.mark.parametrize("damage", [b"\xff", b"#", b"7"])
def test_a_damaged_line_is_named_and_costs_no_checkpoint(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    _write(path, 1, 2, 3)
    journal.require_whole(path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], damage, *lines[2:]]))
    with pytest.raises(
        DataError, match=r"curve\.jsonl: line 2 is damaged.*the checkpoints beside it are kept\. Mend the line"
    ):
        journal.require_whole(path)


def test_a_torn_last_line_is_no_damage(tmp_path: Path) -> None:
    journal.require_whole(tmp_path / "curve.jsonl")
    _write(tmp_path / "curve.jsonl", 1, 2)
    with (tmp_path / "curve.jsonl").open("a") as file:
        file.write('{"step": 3')
    journal.require_whole(tmp_path / "curve.jsonl")
