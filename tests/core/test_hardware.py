import os
from pathlib import Path

import psutil
import pytest

from pipeline.core import hardware


def test_this_machine_is_named_by_what_it_computes_with() -> None:
    told = hardware.accelerator()
    assert set(told) == {"processor", "threads", "gpus"}
    assert told["processor"]
    assert told["threads"] == len(os.sched_getaffinity(0))
    assert hardware.memory_bytes() == pytest.approx(psutil.virtual_memory().total, rel=0.01)


def test_a_machine_whose_kernel_tells_little_is_named_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "none")
    assert hardware.processor.__wrapped__()
    assert hardware.clock_ghz.__wrapped__() is None
    assert hardware.flags.__wrapped__() == frozenset()


def test_the_processor_is_named_as_the_kernel_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("model name\t: Fast (R) 9000\ncpu MHz\t\t: 2500.5\nflags\t\t: fpu avx2\n")
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
    assert hardware.processor.__wrapped__() == "Fast (R) 9000"
    assert hardware.clock_ghz.__wrapped__() == 2.5005
    assert hardware.flags.__wrapped__() == {"fpu", "avx2"}
