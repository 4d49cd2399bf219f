"""What the disk refuses, in the words of any other file."""

import errno
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from pipeline.model import tensors
from pipeline.model.tensors import save_tensors


def _save(path: Path) -> None:
    save_tensors({"a": torch.zeros(1)}, path / "a.safetensors")


def test_a_full_disk_is_an_os_error_as_for_any_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensors, "save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        _save(tmp_path)
    assert caught.value.errno == errno.ENOSPC


def test_another_failure_of_safetensors_stays_what_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object, **__: object) -> None:
        raise SafetensorError("header too large")

    monkeypatch.setattr(tensors, "save_file", broken)
    with pytest.raises(SafetensorError, match="header too large"):
        _save(tmp_path)
