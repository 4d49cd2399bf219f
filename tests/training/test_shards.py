"""Tensors in files that safetensors' own reader takes."""

import hashlib
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.training.shards import read_shards, write_shards

TENSORS = {
    "layer.weight": torch.arange(15.0).view(3, 5),
    "turned": torch.arange(8.0).view(2, 4).T,
    "a number": torch.tensor(2.5),
    "none": torch.zeros(0, 4),
    "\u00fcml\u00e4ut": torch.full((7,), float("nan")),
}


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[name].nan_to_num(9), other[name].nan_to_num(9)) for name in one
    )


def test_safetensors_reads_what_is_written(tmp_path: Path) -> None:
    (name,) = write_shards(TENSORS, tmp_path, "weights")
    assert _equal(load_file(tmp_path / name), TENSORS)


def test_a_file_holds_no_more_than_it_may_unless_one_tensor_does(tmp_path: Path) -> None:
    files = write_shards(TENSORS, tmp_path, "weights", shard_bytes=40)
    parts = [load_file(tmp_path / name) for name in files]
    assert [set(part) for part in parts] == [{"layer.weight"}, {"turned", "a number", "none"}, {"\u00fcml\u00e4ut"}]
    assert _equal(read_shards([tmp_path / name for name in files]), TENSORS)


def test_sizes_and_digests_are_those_of_the_files(tmp_path: Path) -> None:
    for name, described in write_shards(TENSORS, tmp_path, "weights", shard_bytes=40).items():
        content = (tmp_path / name).read_bytes()
        assert described == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_no_tensors_make_one_file_without_any(tmp_path: Path) -> None:
    files = write_shards({}, tmp_path, "weights")
    assert read_shards([tmp_path / name for name in files]) == {}


def test_what_the_disk_refuses_is_an_os_error(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_shards({"big": torch.zeros(1000)}, tmp_path, "weights")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
