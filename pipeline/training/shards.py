"""Tensors as sharded safetensors, written in one pass: digested while they are written, and on the disk when it ends.

safetensors' own writer copies all tensors into one piece of memory and holds Python's lock meanwhile: the training
loop, which goes on beside the writer, would stand still for as long.
Source: the format, https://huggingface.co/docs/safetensors/index#format
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

SHARD_BYTES = 2 << 30
BLOCK_BYTES = 16 << 20
"""What is written and digested at a time, without Python's lock."""
ALIGNMENT = 8
FLOAT_BYTES = 4

Described = dict[str, Any]
"""Bytes and sha256 of a file."""


def write_shards(
    tensors: Mapping[str, Tensor], folder: Path, kind: str, shard_bytes: int = SHARD_BYTES
) -> dict[str, Described]:
    """Write float32 tensors into as many files of `kind` as their bytes need, and say what each file holds.

    Raises: OSError if the disk is full or fails.
    """
    parts = list(_parts(tensors, shard_bytes))
    return {
        (name := f"{kind}-{at:05d}.safetensors"): _write(part, folder / name) for at, part in enumerate(parts or [{}])
    }


def read_shards(paths: list[Path]) -> dict[str, Tensor]:
    """Read the tensors of several files."""
    return {name: tensor for path in paths for name, tensor in load_file(path).items()}


def _parts(tensors: Mapping[str, Tensor], shard_bytes: int) -> Iterator[dict[str, Tensor]]:
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        assert tensor.dtype == torch.float32, name
        size += tensor.numel() * FLOAT_BYTES
        if part and size > shard_bytes:
            yield part
            part, size = {}, tensor.numel() * FLOAT_BYTES
        part[name] = tensor
    if part:
        yield part


def _write(tensors: Mapping[str, Tensor], path: Path) -> Described:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for block in _blocks(tensors):
            file.write(block)
            digest.update(block)
        file.flush()
        os.fsync(file.fileno())
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}


def _blocks(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    header = _header(tensors)
    yield len(header).to_bytes(8, "little") + header
    for tensor in tensors.values():
        content = tensor.detach().contiguous().numpy().reshape(-1).view(np.uint8).data
        for begin in range(0, len(content), BLOCK_BYTES):
            yield content[begin : begin + BLOCK_BYTES]


def _header(tensors: Mapping[str, Tensor]) -> bytes:
    entries, end = {}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * FLOAT_BYTES
        entries[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    return header + b" " * (-len(header) % ALIGNMENT)
