"""A stage that fails on purpose, once."""

from pathlib import Path

import pytest

from flows.fault import Fault
from pipeline.core.errors import ComputeError
from pipeline.core.progress import Quiet


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name in ("corpus", "examples-64", "pretrain"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_the_stage_fails_when_it_has_come_so_far_and_a_retry_goes_through(work: Path) -> None:
    fault = Fault(Quiet(), "pretrain:20", lambda name: work / name)
    fault.update("pretrain", 19, 90, "steps")
    fault.update("corpus", 21, 90, "shards")
    with pytest.raises(ComputeError, match=r"^run\.fault=pretrain:20: fails on purpose at 22 of 90 steps; retry it"):
        fault.update("pretrain", 22, 90, "steps")
    again = Fault(Quiet(), "pretrain:20", lambda name: work / name)
    again.update("pretrain", 22, 90, "steps")


def test_all_of_a_stage_are_meant_and_waiting_is_not_work(work: Path) -> None:
    fault = Fault(Quiet(), "examples:0", lambda name: work / name)
    fault.update("examples-64", 0, 1, "artifacts", "waiting")
    fault.update("examples-64", 0, 1, "turns", "waiting")
    with pytest.raises(ComputeError, match=r"examples:0: fails on purpose at 0 of 8 pieces"):
        fault.update("examples-64", 0, 8, "pieces")


def test_without_a_fault_nothing_fails(work: Path) -> None:
    Fault(Quiet(), "", lambda name: work / name).update("pretrain", 90, 90, "steps")
