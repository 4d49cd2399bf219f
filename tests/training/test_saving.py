"""Checkpoints that are written beside the loop."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.training import checkpoint
from pipeline.training.checkpoint import State
from pipeline.training.journal import Journal
from pipeline.training.order import Order
from pipeline.training.saving import Saver


@dataclass
class Copies:
    """An engine as far as a checkpoint needs one."""

    made: int = 0

    def gather(self) -> State:
        self.made += 1
        return State(self.made, {}, {"a": torch.full((3,), float(self.made))}, {})


@dataclass
class Slow:
    """The real writer, which waits until it is let go."""

    write: Any
    go: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def __call__(self, *arguments: Any, **named: Any) -> Path:
        self.go.wait(30)
        if self.error:
            raise self.error
        folder: Path = self.write(*arguments, **named)
        return folder


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Slow:
    slow = Slow(checkpoint.write)
    monkeypatch.setattr(checkpoint, "write", slow)
    return slow


@pytest.fixture
def saver(order: Order, tmp_path: Path) -> Iterator[Saver]:
    journal = Journal(tmp_path / "work" / "curve.jsonl")
    yield Saver(replace(order, work=str(tmp_path / "work")), "x", journal, 0, ())
    journal.close()


def _steps(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "work" / "checkpoints").glob("step-*"))


def test_the_loop_goes_on_while_one_is_written_and_the_next_is_late(saver: Saver, writer: Slow, tmp_path: Path) -> None:
    engine: Any = Copies()
    assert [saver.due(step) for step in (1, 2)] == [False, True]
    saver.save(engine, 2)
    assert [saver.due(step) for step in (3, 4, 5)] == [False, False, False]  # 4 would be one
    writer.go.set()
    saver.wait()
    assert saver.due(5)
    saver.save(engine, 5)
    assert not saver.due(5)
    with saver:
        pass
    assert _steps(tmp_path) == ["step-00000002", "step-00000005"]


def test_what_was_rejected_at_the_start_is_removed_and_what_was_made_since_is_kept(
    saver: Saver, writer: Slow, tmp_path: Path
) -> None:
    engine: Any = Copies()
    writer.go.set()
    (tmp_path / "work" / "checkpoints" / "step-00000003").mkdir(parents=True)
    for step in (4, 6):
        saver.save(engine, step)
        saver.wait()
        assert "step-00000003" not in _steps(tmp_path)
    assert _steps(tmp_path) == ["step-00000004", "step-00000006"]


def test_another_one_waits_for_the_one_before_if_it_must_be_made(saver: Saver, writer: Slow, tmp_path: Path) -> None:
    engine: Any = Copies()
    saver.save(engine, 2)
    threading.Timer(0.2, writer.go.set).start()
    saver.save(engine, 3)
    saver.wait()
    assert _steps(tmp_path) == ["step-00000002", "step-00000003"]


def test_the_journal_is_on_the_disk_before_a_checkpoint_promises_it(
    saver: Saver, writer: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = Copies()
    done: list[str] = []
    monkeypatch.setattr(Journal, "sync", lambda self: done.append("journal"))
    monkeypatch.setattr(checkpoint, "write", lambda *_, **__: done.append("checkpoint"))
    saver.save(engine, 2)
    saver.wait()
    assert done == ["journal", "checkpoint"]


def _end(saver: Saver) -> None:
    with saver:
        pass


@pytest.mark.parametrize("ask", [lambda saver: saver.due(3), lambda saver: saver.save(Copies(), 4), _end])
def test_what_the_writer_meets_is_raised_in_the_loop(ask: Callable[[Saver], Any], saver: Saver, writer: Slow) -> None:
    engine: Any = Copies()
    writer.error = OSError(28, "No space left on device")
    writer.go.set()
    saver.save(engine, 2)
    while saver._writer is not None and saver._writer.is_alive():
        saver._writer.join()
    with pytest.raises(OSError, match="No space left"):
        ask(saver)


def test_the_loop_s_own_error_is_not_hidden_by_the_writer_s(saver: Saver, writer: Slow) -> None:
    engine: Any = Copies()
    writer.error = OSError(28, "No space left on device")
    writer.go.set()
    saver.save(engine, 2)
    with pytest.raises(ValueError, match="lost a peer"), saver:
        raise ValueError("lost a peer")


def test_ranks_without_a_journal_want_and_write_nothing(order: Order, tmp_path: Path) -> None:
    engine: Any = Copies()
    saver = Saver(replace(order, work=str(tmp_path / "work")), "x", None, 0, ())
    assert not saver.due(2)
    saver.save(engine, 2)
    assert not (tmp_path / "work").exists()
