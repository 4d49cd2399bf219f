"""Real ranks over gloo: what is learned may not depend on how it was run, nor on how often it was killed."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import transformers

from pipeline.training.dealing import deal
from pipeline.training.jobs import job_of
from pipeline.training.order import Optimizer, Order, Schedule
from tests.training import one_rank
from tests.training.conftest import (
    PATIENCE_SECONDS,
    VOCABULARY,
    Launch,
    Undisturbed,
    curve,
    digests,
    lines_of,
    moved,
    without_dropout,
)

pytestmark = pytest.mark.slow


def _run(launch: Launch, order: Order, ranks: int = 1) -> Order:
    assert launch(order, ranks).well()
    return order


@pytest.mark.parametrize(
    ("ranks", "stage"), [(1, 0), (1, 1), (1, 2), (1, 3), (2, 2), (2, 3)], ids=lambda value: str(value)
)
def test_a_killed_run_resumes_to_the_same_bytes(
    ranks: int, stage: int, order: Order, launch: Launch, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    killed = moved(order, tmp_path / "b", zero_stage=stage)
    ended = launch(killed, ranks, death=("pipeline.training.zero.Engine.update", 6))
    assert -9 in ended.exit_codes, ended.log  # another may lose its peer first
    assert not Path(killed.out).exists()
    _run(launch, killed, ranks)
    attempts = [json.loads(line) for line in (Path(killed.work) / "attempts.jsonl").read_text().splitlines()]
    assert [attempt["resumed_at_step"] for attempt in attempts] == [0, 4]
    assert digests(killed) == digests(undisturbed(order, ranks, zero_stage=stage))


def test_the_curve_is_the_same_for_any_stage_ranks_and_micro_batch(order: Order, undisturbed: Undisturbed) -> None:
    order = without_dropout(order)
    ways = [(1, 16, 0), (1, 4, 1), (1, 5, 2), (2, 4, 2), (1, 3, 3), (2, 8, 3), (2, 4, 0)]
    runs = [undisturbed(order, ranks, micro_batch=micro, zero_stage=stage) for ranks, micro, stage in ways]
    for run in runs[1:]:
        assert curve(run)[:2] == pytest.approx(curve(runs[0])[:2], rel=1e-6)
        assert curve(run, "gradient_norm")[:2] == pytest.approx(curve(runs[0], "gradient_norm")[:2], rel=1e-6)
        assert curve(run) == pytest.approx(curve(runs[0]), rel=1e-5)
        assert _held_out(run) == pytest.approx(_held_out(runs[0]), rel=1e-5)


def test_a_rank_with_two_threads_learns_the_same(
    order: Order, launch: Launch, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    order = without_dropout(order)
    two = moved(order, tmp_path, threads=2)
    assert launch(two, trials=[partial(one_rank.note_threads, tmp_path / "threads")]).well()
    assert (tmp_path / "threads").read_text() == "2"
    assert curve(two) == pytest.approx(curve(undisturbed(order)), rel=1e-5)


def test_accumulation_steps_and_ranks_do_not_change_a_step(order: Order, undisturbed: Undisturbed) -> None:
    """Hugging Face's Trainer adds up where it should average: off by the number of steps (transformers 47688)."""
    phase = replace(order.phases[0], steps=1, held_out=())
    order = replace(without_dropout(order), phases=(phase,), schedule=Schedule(0))
    ways = {(1, 16): 1, (1, 4): 4, (1, 2): 8, (2, 4): 2}
    runs = [undisturbed(order, ranks, micro_batch=micro) for ranks, micro in ways]
    for run, ((ranks, micro_batch), parts) in zip(runs, ways.items(), strict=True):
        assert len(_dealt(order, ranks, micro_batch)) >= parts
        for name in ("loss", "gradient_norm"):
            assert curve(run, name) == pytest.approx(curve(runs[0], name), rel=1e-6)


def _dealt(order: Order, ranks: int, micro_batch: int) -> list[np.ndarray]:
    stretch = job_of(order).stretches[0]
    length_B = stretch.rows.ids.lengths_N[stretch.sampler.take(0)[0]]
    return deal(length_B, ranks=ranks, micro_batch=micro_batch)[0]


def _held_out(order: Order) -> dict[int, float]:
    return {line["step"]: line["held_out_loss"] for line in lines_of(order) if "held_out_loss" in line}


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
    assert not {"seconds", "data_seconds", "checkpoint_seconds", "memory_bytes", "cells"} & set(table)
    result = json.loads((Path(killed.out) / "result.json").read_text())
    assert result["tokens"] == sum(table["tokens"])
    assert result["held_out_mlm_loss"] == table["held_out_mlm_loss"][-1]


def test_the_journal_tells_what_a_step_took_and_was_made_of(order: Order, undisturbed: Undisturbed) -> None:
    stretch = job_of(order).stretches[0]
    lengths = stretch.rows.ids.lengths_N[stretch.sampler.take(0)[0]].astype(int)
    steps = [line for line in lines_of(undisturbed(order, 2)) if "loss" in line]
    assert steps[0]["attended"] == pytest.approx((lengths**2).sum() / lengths.sum(), abs=1e-3)
    assert steps[0]["tokens"] == lengths.sum() <= steps[0]["cells"]
    assert 0.1 < steps[0]["predicted"] / steps[0]["tokens"] < 0.2
    assert [line["checkpoint_seconds"] > 0 for line in steps] == [line["step"] in (3, 5, 7) for line in steps]
    for line in steps:
        assert line["data_seconds"] < line["seconds"]
        assert line["memory_bytes"] > 50e6


def test_checkpoints_can_be_due_by_the_clock(order: Order, launch: Launch, tmp_path: Path) -> None:
    timed = moved(order, tmp_path, checkpoint_steps=None, checkpoint_seconds=0.0, keep_checkpoints=3)
    _run(launch, timed, 2)
    folders = sorted(path.name for path in (Path(timed.work) / "checkpoints").iterdir())
    assert folders == ["step-00000005", "step-00000006", "step-00000007"]


def test_the_weights_load_in_transformers(order: Order, undisturbed: Undisturbed) -> None:
    _, notes = transformers.BertForPreTraining.from_pretrained(undisturbed(order).out, output_loading_info=True)
    assert not any(notes[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_a_longer_run_learns_both_objectives(order: Order, launch: Launch, tmp_path: Path) -> None:
    phase = replace(order.phases[0], steps=150, global_batch=32)
    optimizer, run = (
        replace(order.optimizer, learning_rate=5e-3),
        replace(order.run, micro_batch=32, checkpoint_steps=None),
    )
    order = replace(without_dropout(order), phases=(phase,), optimizer=optimizer, schedule=Schedule(10), run=run)
    _run(launch, moved(order, tmp_path))
    assert curve(order)[0] == pytest.approx(np.log(VOCABULARY) + np.log(2), abs=0.3)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["held_out_mlm_accuracy"] > 0.5
    assert result["held_out_nsp_accuracy"] > 0.9


def test_a_loss_that_is_not_finite_ends_the_run_with_a_reason(order: Order, launch: Launch, tmp_path: Path) -> None:
    wild = replace(order, optimizer=Optimizer(learning_rate=1e30, clip=0.0), schedule=Schedule(0))
    ended = launch(moved(wild, tmp_path), 2)
    assert ended.exit_codes == [3, 3]
    assert "lower learning_rate=1e+30" in ended.log
    assert "went back 3 times for such steps, run.max_rewinds=3" in ended.log


def test_a_process_group_that_is_there_is_used_and_left_alone(
    order: Order, forks: ForkServerContext, tmp_path: Path
) -> None:
    order.write(tmp_path / "order.json")
    process = forks.Process(target=one_rank.run_in_a_group, args=(tmp_path / "order.json",))
    process.start()
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == 0
    assert (Path(order.out) / "model.safetensors").exists()


def test_an_order_runs_by_hand(order: Order, tmp_path: Path) -> None:
    order.write(tmp_path / "order.json")
    command = [sys.executable, "-m", "pipeline.training.rank", str(tmp_path / "order.json")]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert (ended.stdout, ended.stderr) == ("", "")
    assert (Path(order.out) / "model.safetensors").exists()
