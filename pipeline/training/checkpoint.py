"""Checkpoints free of the number of ranks: parameter name -> float32 weight and moments, in sharded safetensors.

One folder a checkpoint under `work/checkpoints`. It is written beside its place, flushed to the disk, and renamed:
the rename is the commit point. `checkpoint.json` names every file with its size and digest, and holds one of itself, so
that a torn, cut or flipped one is found out when it is read, and the one before is used.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.core.files import sha256_of, sync_folder, write_json
from pipeline.training.shards import SHARD_BYTES, Described, read_shards, write_shards

FORMAT = 4
WEIGHTS = "weights"

Skips = tuple[tuple[int, int], ...]
"""Batches that training goes round: stretch and number in it."""


@dataclass(frozen=True)
class State:
    """All that training carries from one step to the next; tensors are full, float32 and on the CPU."""

    updates: int  # that the optimizer has made; not the step where an update was skipped
    loss_scale: dict[str, float]  # of fp16; empty otherwise
    weights: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]]  # the optimizer's word for one, e.g. exp_avg -> parameter -> tensor


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files have been verified."""

    folder: Path
    step: int
    order: str  # key of what the order asks for
    skips: Skips  # that were known when it was made

    def load(self) -> State:
        """Read the tensors."""
        named = json.loads((self.folder / "checkpoint.json").read_text())
        tensors = {
            kind: read_shards([self.folder / name for name in names]) for kind, names in named["tensors"].items()
        }
        weights = tensors.pop(WEIGHTS)
        return State(named["updates"], named["loss_scale"], weights, tensors)


@dataclass(frozen=True)
class Found:
    """The newest usable checkpoint, if any, and why newer ones were not."""

    checkpoint: Checkpoint | None
    rejected: tuple[str, ...]


class _UnusableError(Exception):
    """Why a checkpoint cannot be used."""


def write(
    work: Path,
    state: State,
    *,
    step: int,
    after: int,
    order: str,
    keep: int,
    skips: Skips = (),
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Commit a checkpoint of `step`, the next after that of step `after`, and remove all but the newest `keep`.

    Raises: OSError if the disk is full or fails.
    """
    parent = work / "checkpoints"
    draft, folder = parent / f".draft-{step:08d}", parent / f"step-{step:08d}"
    for left in parent.glob(".draft-*"):  # of a writer that was killed
        shutil.rmtree(left)
    draft.mkdir(parents=True)
    tensors = {WEIGHTS: state.weights, **state.moments}
    files = {kind: write_shards(part, draft, kind, shard_bytes) for kind, part in tensors.items()}
    _describe_all(draft, state, files, {"step": step, "order": order, "skips": skips})
    _commit(draft, folder)
    _prune(work, step, after, keep)
    return folder


def _describe_all(
    draft: Path, state: State, files: dict[str, dict[str, Described]], about: dict[str, int | str | Skips]
) -> None:
    named = {
        "format": FORMAT,
        **about,
        "updates": state.updates,
        "loss_scale": state.loss_scale,
        "tensors": {kind: sorted(shards) for kind, shards in files.items()},
        "files": {name: described for shards in files.values() for name, described in shards.items()},
    }
    write_json(draft / "checkpoint.json", named | {"sha256": _digest(named)})
    sync_folder(draft)


def _commit(draft: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # one of the same step that was rejected
    draft.rename(folder)
    sync_folder(folder.parent)


def _prune(work: Path, step: int, after: int, keep: int) -> None:
    """Remove old ones, and others after the one before: they were rejected at the start, and led nowhere."""
    rejected = [old for old in _folders(work) if _step_of(old) > after and _step_of(old) != step]
    good = [old for old in _folders(work) if old not in rejected]
    for old in (*rejected, *good[keep:]):
        shutil.rmtree(old)


def newest(work: Path, *, order: str, until: int) -> Found:
    """Find the newest checkpoint that verifies, belongs to this order and is of step `until` at most."""
    rejected: list[str] = []
    for folder in _folders(work):
        try:
            checkpoint = _verify(folder)
            if checkpoint.order != order:
                raise _UnusableError(f"made for another order ({checkpoint.order}, this one is {order})")
            if checkpoint.step > until:
                raise _UnusableError(f"the curve journal ends at step {until}")
            return Found(checkpoint, tuple(rejected))
        except _UnusableError as error:
            rejected.append(f"{folder.name}: {error}")
    return Found(None, tuple(rejected))


def _folders(work: Path) -> list[Path]:
    parent = work / "checkpoints"
    names = [path for path in parent.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name)]
    return sorted(names, key=_step_of, reverse=True)


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _verify(folder: Path) -> Checkpoint:
    try:
        named = json.loads((folder / "checkpoint.json").read_text())
        if named["format"] != FORMAT:
            raise _UnusableError(f"format {named['format']}, expected {FORMAT}")
        if named.pop("sha256") != _digest(named):
            raise _UnusableError("checkpoint.json is not what was written")
        for name, described in named["files"].items():
            if _describe(folder / name) != described:
                raise _UnusableError(f"{name} is not what checkpoint.json names")
        return Checkpoint(folder, named["step"], named["order"], skips_of(named["skips"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _UnusableError(f"checkpoint.json or a file of it cannot be read ({error})") from error


def skips_of(plain: Sequence[Sequence[int]]) -> Skips:
    """Read skips from plain JSON values."""
    return tuple((stretch, batch) for stretch, batch in plain)


def _digest(named: dict[str, Any]) -> str:
    """Digest what is named, so that a step or a name with a flipped bit is not taken for another."""
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def _describe(path: Path) -> Described:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
