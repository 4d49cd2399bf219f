"""Checkpoints as files: what counts as one, and which is taken."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.training.attempt import identity
from pipeline.training.checkpoint import State, newest, write
from pipeline.training.order import Order


def _state(step: int) -> State:
    number = float(step)
    weights = {"a": torch.full((3, 2), number), "b": torch.tensor([number])}
    halves = {name: one / 2 for name, one in weights.items()}
    return State(step, {"cur_scale": 4.0}, weights, {"exp_avg": halves, "exp_avg_sq": weights})


def _write(work: Path, *steps: int, order: str = "x", keep: int = 9, **named: Any) -> None:
    for step in steps:
        write(work, _state(step), step=step, **({"after": step - 1, "order": order, "keep": keep} | named))


def _folder(work: Path, step: int) -> Path:
    return work / "checkpoints" / f"step-{step:08d}"


def test_a_state_comes_back_exactly(tmp_path: Path) -> None:
    _write(tmp_path, 7)
    found = newest(tmp_path, order="x", until=7)
    assert found.rejected == ()
    assert found.checkpoint is not None
    assert found.checkpoint.step == 7
    loaded, expected = found.checkpoint.load(), _state(7)
    assert (loaded.updates, loaded.loss_scale) == (expected.updates, expected.loss_scale)
    for kind, wanted in {"weights": expected.weights, **expected.moments}.items():
        for name, tensor in wanted.items():
            assert torch.equal((loaded.weights if kind == "weights" else loaded.moments[kind])[name], tensor)


def test_a_large_state_is_spread_over_files(tmp_path: Path) -> None:
    _write(tmp_path, 7, shard_bytes=24)
    names = {path.name for path in _folder(tmp_path, 7).glob("weights-*")}
    assert names == {"weights-00000.safetensors", "weights-00001.safetensors"}
    assert json.loads((_folder(tmp_path, 7) / "checkpoint.json").read_text())["files"].keys() >= names
    found = newest(tmp_path, order="x", until=7).checkpoint
    assert found is not None
    assert found.load().weights.keys() == {"a", "b"}


def test_moments_may_differ_from_parameter_to_parameter(tmp_path: Path) -> None:
    state = State(
        3, {}, {"a": torch.ones(2), "b": torch.ones(1)}, {"momentum_buffer": {"a": torch.ones(2)}, "none": {}}
    )
    write(tmp_path, state, step=3, after=0, order="x", keep=1)
    found = newest(tmp_path, order="x", until=3).checkpoint
    assert found is not None
    assert {kind: list(tensors) for kind, tensors in found.load().moments.items()} == {
        "momentum_buffer": ["a"],
        "none": [],
    }


def test_batches_that_are_passed_over_are_remembered(tmp_path: Path) -> None:
    _write(tmp_path, 7, skips=((0, 3), (1, 8)))
    found = newest(tmp_path, order="x", until=7).checkpoint
    assert found is not None
    assert found.skips == ((0, 3), (1, 8))


def test_nothing_is_found_where_nothing_was_written(tmp_path: Path) -> None:
    assert newest(tmp_path, order="x", until=9).checkpoint is None


def test_only_the_last_are_kept(tmp_path: Path) -> None:
    _write(tmp_path, 1, 2, 3, 4, keep=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000003", "step-00000004"]


def test_what_a_killed_writer_left_is_no_checkpoint(tmp_path: Path) -> None:
    _write(tmp_path, 1)
    _folder(tmp_path, 1).rename(tmp_path / "checkpoints" / ".draft-00000002")
    assert newest(tmp_path, order="x", until=9).checkpoint is None
    _write(tmp_path, 2)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        (json.dumps({"format": 0}), "format 0, expected 4"),
    ],
)
def test_one_without_its_names_is_passed_over(content: str | None, reason: str, tmp_path: Path) -> None:
    _write(tmp_path, 1, 2)
    path = _folder(tmp_path, 2) / "checkpoint.json"
    path.unlink() if content is None else path.write_text(content)
    found = newest(tmp_path, order="x", until=9)
    assert found.checkpoint is not None
    assert found.checkpoint.step == 1
    assert reason in found.rejected[0]


def test_a_bit_flipped_anywhere_in_its_names_is_noticed(tmp_path: Path) -> None:
    """Such as one that makes step 7 step 3, or Adam's seventh update another one."""
    _write(tmp_path, 7, skips=((0, 3),))
    path = _folder(tmp_path, 7) / "checkpoint.json"
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        assert newest(tmp_path, order="x", until=9).checkpoint is None, path.read_text(errors="replace")
    path.write_bytes(content)
    assert newest(tmp_path, order="x", until=9).checkpoint is not None


def test_one_of_another_order_or_beyond_the_journal_is_passed_over(tmp_path: Path) -> None:
    _write(tmp_path, 1, 2)
    _write(tmp_path, 3, order="y")
    found = newest(tmp_path, order="x", until=1)
    assert found.checkpoint is not None
    assert found.checkpoint.step == 1
    assert found.rejected == (
        "step-00000003: made for another order (y, this one is x)",
        "step-00000002: the curve journal ends at step 1",
    )


def test_a_rejected_one_is_written_over(tmp_path: Path) -> None:
    _write(tmp_path, 2)
    (_folder(tmp_path, 2) / "weights-00000.safetensors").write_bytes(b"")
    _write(tmp_path, 2)
    assert newest(tmp_path, order="x", until=2).rejected == ()


def test_equal_states_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _write(tmp_path / name, 2)
    for path in _folder(tmp_path / "a", 2).iterdir():
        assert path.read_bytes() == (_folder(tmp_path / "b", 2) / path.name).read_bytes()


def test_a_store_that_was_moved_asks_for_the_same(order: Order) -> None:
    def at(root: str, key: str = "0123456789ab") -> Order:
        examples = (f"{root}/examples/{key}/train/00000.arrow",)
        return replace(order, init=f"{root}/pretrain/{key}", phases=(replace(order.phases[0], examples=examples),))

    assert identity(at("/a/store")) == identity(at("/elsewhere/b"))
    assert identity(at("/a/store")) != identity(at("/a/store", "ba9876543210"))


def test_checkpoints_rejected_at_the_start_give_way_to_new_ones(tmp_path: Path) -> None:
    _write(tmp_path, 1100, 1200, order="other")
    assert newest(tmp_path, order="x", until=2000).checkpoint is None
    _write(tmp_path, 100, keep=2)
    found = newest(tmp_path, order="x", until=2000)
    assert found.checkpoint is not None
    assert found.checkpoint.step == 100
    assert not _folder(tmp_path, 1200).exists()


def test_rejected_ones_are_not_kept_in_place_of_good_ones(tmp_path: Path) -> None:
    _write(tmp_path, 100, 210)
    (_folder(tmp_path, 210) / "weights-00000.safetensors").write_bytes(b"")
    _write(tmp_path, 215, after=100, keep=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000100", "step-00000215"]
