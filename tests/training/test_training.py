"""Real ranks over gloo: what is learned may not depend on how it was run, nor on how often it was killed."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import transformers

from pipeline.core.files import sha256_of
from pipeline.training.order import Optimizer, Order, Schedule
from tests.training import one_rank
from tests.training.conftest import LIMIT_SECONDS, VOCABULARY, Launch, curve, lines_of, moved

pytestmark = pytest.mark.slow


def _digests(order: Order) -> dict[str, str]:
    names = ("model.safetensors", "config.json", "curve.parquet", "result.json")
    return {name: sha256_of(Path(order.out) / name) for name in names}


def _without_dropout(order: Order) -> Order:
    return replace(order, shape=replace(order.shape, dropout=0.0))


def _run(launch: Launch, order: Order, ranks: int = 1) -> Order:
    assert launch(order, ranks).well()
    return order


@pytest.mark.parametrize(
    ("ranks", "stage"), [(1, 0), (1, 1), (1, 2), (1, 3), (2, 2), (2, 3)], ids=lambda value: str(value)
)
def test_a_killed_run_resumes_to_the_same_bytes(
    ranks: int, stage: int, order: Order, launch: Launch, tmp_path: Path
) -> None:
    undisturbed = _run(launch, moved(order, tmp_path / "a", zero_stage=stage), ranks)
    killed = moved(order, tmp_path / "b", zero_stage=stage)
    ended = launch(killed, ranks, death=("pipeline.training.zero.Engine.update", 6))
    assert ended.exit_codes == [-9] * ranks, ended.log
    assert not Path(killed.out).exists()
    _run(launch, killed, ranks)
    attempts = [json.loads(line) for line in (Path(killed.work) / "attempts.jsonl").read_text().splitlines()]
    assert [attempt["resumed_at_step"] for attempt in attempts] == [0, 4]
    assert _digests(killed) == _digests(undisturbed)


def test_a_run_killed_while_it_writes_a_checkpoint_uses_the_one_before(
    order: Order, launch: Launch, tmp_path: Path
) -> None:
    undisturbed = _run(launch, moved(order, tmp_path / "a"))
    killed = moved(order, tmp_path / "b")
    for moment in ("sync_folder", "write_json", "write"):  # before the data, before the names, before the third at all
        assert launch(killed, death=(f"pipeline.training.checkpoint.{moment}", 2)).exit_codes == [-9]
    _run(launch, killed)
    assert _digests(killed) == _digests(undisturbed)


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    harm: str, order: Order, launch: Launch, tmp_path: Path
) -> None:
    undisturbed = _run(launch, moved(order, tmp_path / "a"))
    killed = moved(order, tmp_path / "b")
    launch(killed, death=("pipeline.training.zero.Engine.update", 6))
    path = Path(killed.work) / "checkpoints" / "step-00000004" / "exp_avg_sq.safetensors"
    _harm(path, harm)
    _run(launch, killed)
    last = json.loads((Path(killed.work) / "attempts.jsonl").read_text().splitlines()[-1])
    assert last["resumed_at_step"] == 2
    assert "step-00000004: " in last["rejected"][0]
    assert "exp_avg_sq.safetensors" in last["rejected"][0]
    assert _digests(killed) == _digests(undisturbed)


def _harm(path: Path, harm: str) -> None:
    content = bytearray(path.read_bytes())
    if harm == "remove":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(content[:-1])
    else:
        content[-1] ^= 1
        path.write_bytes(content)


def test_the_curve_is_the_same_for_any_stage_ranks_and_micro_batch(
    order: Order, launch: Launch, tmp_path: Path
) -> None:
    order = _without_dropout(order)
    ways = {
        (1, 16, 0): "a",
        (1, 4, 1): "b",
        (1, 5, 2): "c",
        (2, 4, 2): "d",
        (1, 3, 3): "e",
        (2, 8, 3): "f",
        (2, 4, 0): "g",
    }
    runs = [
        _run(launch, moved(order, tmp_path / name, micro_batch=micro, zero_stage=stage), ranks)
        for (ranks, micro, stage), name in ways.items()
    ]
    for run in runs[1:]:
        assert curve(run)[:2] == pytest.approx(curve(runs[0])[:2], rel=1e-6)
        assert curve(run, "gradient_norm")[:2] == pytest.approx(curve(runs[0], "gradient_norm")[:2], rel=1e-6)
        assert curve(run) == pytest.approx(curve(runs[0]), rel=1e-5)
        assert _held_out(run) == pytest.approx(_held_out(runs[0]), rel=1e-5)


def _held_out(order: Order) -> dict[int, float]:
    return {line["step"]: line["held_out_loss"] for line in lines_of(order) if "held_out_loss" in line}


def test_ranks_and_stage_may_change_between_attempts(order: Order, launch: Launch, tmp_path: Path) -> None:
    order = _without_dropout(order)
    undisturbed = _run(launch, moved(order, tmp_path / "a", zero_stage=2), 2)
    changing = moved(order, tmp_path / "b")
    for ranks, stage, updates in ((2, 2, 3), (1, 1, 3), (2, 3, 3)):
        launch(moved(order, tmp_path / "b", zero_stage=stage), ranks, ("pipeline.training.zero.Engine.update", updates))
    _run(launch, moved(order, tmp_path / "b", zero_stage=0), 1)
    attempts = [json.loads(line) for line in (Path(changing.work) / "attempts.jsonl").read_text().splitlines()]
    assert [attempt["resumed_at_step"] for attempt in attempts] == [0, 2, 4, 6]
    assert curve(changing) == pytest.approx(curve(undisturbed), rel=1e-5)
    assert _held_out(changing) == pytest.approx(_held_out(undisturbed), rel=1e-5)


def test_the_journal_and_the_curve_hold_every_step_once(order: Order, launch: Launch, tmp_path: Path) -> None:
    killed = moved(order, tmp_path)
    launch(killed, death=("pipeline.training.zero.Engine.update", 4))
    _run(launch, killed)
    assert [line["step"] for line in lines_of(killed) if "loss" in line] == list(range(1, 9))
    assert sorted(_held_out(killed)) == [4, 5, 8]  # every fourth, and at the end of each phase
    table = pq.read_table(Path(killed.out) / "curve.parquet").to_pydict()
    assert table["step"] == list(range(1, 9))
    assert table["phase"] == [0] * 5 + [1] * 3
    assert table["sequences"] == [16] * 5 + [12] * 3
    assert [value is not None for value in table["held_out_mlm_loss"]] == [step in (4, 5, 8) for step in table["step"]]
    assert not {"seconds", "tokens_per_second", "cells"} & set(table)
    result = json.loads((Path(killed.out) / "result.json").read_text())
    assert result["tokens"] == sum(table["tokens"])
    assert result["held_out_mlm_loss"] == table["held_out_mlm_loss"][-1]


def test_checkpoints_can_be_due_by_the_clock(order: Order, launch: Launch, tmp_path: Path) -> None:
    timed = moved(order, tmp_path, checkpoint_steps=None, checkpoint_seconds=0.0, keep_checkpoints=3)
    _run(launch, timed, 2)
    folders = sorted(path.name for path in (Path(timed.work) / "checkpoints").iterdir())
    assert folders == ["step-00000005", "step-00000006", "step-00000007"]


def test_the_weights_load_in_transformers(order: Order, launch: Launch, tmp_path: Path) -> None:
    _run(launch, moved(order, tmp_path))
    _, notes = transformers.BertForPreTraining.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(notes[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_a_longer_run_learns_both_objectives(order: Order, launch: Launch, tmp_path: Path) -> None:
    phase = replace(order.phases[0], steps=150, global_batch=32)
    optimizer, run = (
        replace(order.optimizer, learning_rate=5e-3),
        replace(order.run, micro_batch=32, checkpoint_steps=None),
    )
    order = replace(_without_dropout(order), phases=(phase,), optimizer=optimizer, schedule=Schedule(10), run=run)
    _run(launch, moved(order, tmp_path))
    assert curve(order)[0] == pytest.approx(np.log(VOCABULARY) + np.log(2), abs=0.3)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["held_out_mlm_accuracy"] > 0.5
    assert result["held_out_nsp_accuracy"] > 0.9


def test_a_loss_that_is_not_finite_ends_the_run_with_a_reason(order: Order, launch: Launch, tmp_path: Path) -> None:
    wild = replace(order, optimizer=Optimizer(learning_rate=1e30, clip=0.0), schedule=Schedule(0))
    ended = launch(moved(wild, tmp_path), 2)
    assert ended.exit_codes == [3, 3]
    assert "lower optimizer.learning_rate=1e+30" in ended.log


def test_a_process_group_that_is_there_is_used_and_left_alone(
    order: Order, forks: ForkServerContext, tmp_path: Path
) -> None:
    order.write(tmp_path / "order.json")
    process = forks.Process(target=one_rank.run_in_a_group, args=(tmp_path / "order.json",))
    process.start()
    process.join(LIMIT_SECONDS)
    assert process.exitcode == 0
    assert (Path(order.out) / "model.safetensors").exists()


def test_an_order_runs_by_hand(order: Order, tmp_path: Path) -> None:
    order.write(tmp_path / "order.json")
    command = [sys.executable, "-m", "pipeline.training.rank", str(tmp_path / "order.json")]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    assert ended.returncode == 0, ended.stderr
    assert (ended.stdout, ended.stderr) == ("", "")
    assert (Path(order.out) / "model.safetensors").exists()
