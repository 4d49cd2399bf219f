"""What a signal does while a flow runs."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import stopping
from flows.stopping import Stopping, ended_by_signals


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name in ("corpus", "pretrain", "finetune-a"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def running(work: Path) -> Iterator[Stopping]:
    with Stopping(lambda name: work / name) as running:
        yield running


def _signal(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def _stops(work: Path) -> list[str]:
    return sorted(path.parent.name for path in work.glob("*/stop"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ranks_are_told_by_a_file_and_a_second_signal_means_now(
    number: int, running: Stopping, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "REPEATED_SECONDS", 0.0)
    running.start("pretrain")
    running.update("pretrain", 3, 9, "steps")
    _signal(number)
    assert _stops(work) == ["pretrain"]
    with pytest.raises(KeyboardInterrupt):
        _signal(number)


def test_one_signal_that_arrives_twice_is_one(running: Stopping, work: Path) -> None:
    running.start("pretrain")
    running.update("pretrain", 3, 9, "steps")
    _signal()
    _signal()  # as a scheduler sends it to a job and to each of its processes
    assert _stops(work) == ["pretrain"]


def test_what_has_no_ranks_ends_at_once(running: Stopping, work: Path) -> None:
    running.start("corpus")
    running.update("corpus", 3, 9, "shards")
    with pytest.raises(KeyboardInterrupt):
        _signal()
    assert _stops(work) == []


def test_ranks_that_do_not_stop_are_not_waited_for_for_ever(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "REPEATED_SECONDS", 0.0)
    with Stopping(lambda name: work / name, patience_seconds=0.05) as running:
        running.start("pretrain")
        running.update("pretrain", 3, 9, "steps")

        def ask_and_wait() -> None:
            _signal()
            signal.sigtimedwait([], 30)  # what comes first: the signal

        with pytest.raises(KeyboardInterrupt):
            ask_and_wait()
        assert _stops(work) == ["pretrain"]


def test_before_there_are_stages_a_signal_ends_at_once_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ended_by_signals(), pytest.raises(KeyboardInterrupt):
        _signal()
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_other_stage_begins_after_one_that_was_over_too_soon_to_stop(running: Stopping, work: Path) -> None:
    running.start("pretrain")
    running.update("pretrain", 9, 9, "steps")
    _signal()
    running.finish("pretrain")
    with pytest.raises(KeyboardInterrupt):
        running.start("finetune-a")


def test_handlers_of_others_give_way_and_come_back(work: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Stopping(lambda name: work / name) as running:
        running.start("pretrain")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as Ray and Prefect put their own
        running.update("pretrain", 1, 9, "steps")
        _signal()
        assert _stops(work) == ["pretrain"]
    assert signal.getsignal(signal.SIGTERM) is before
