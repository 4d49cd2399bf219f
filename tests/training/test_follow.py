"""What the record and the waiting person get from a curve journal that ranks append to."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.model.shape import SIZES, Shape, flops_per_token
from pipeline.training import follow, journal
from pipeline.training.follow import Follower, Watched

SHAPE = Shape(*SIZES["tiny"], vocab_size=1000, max_positions=64)
STEP = {
    "phase": 0, "loss": 7.0, "mlm_loss": 6.5, "mlm_accuracy": None, "learning_rate": 0.1, "gradient_norm": 1.0,
    "sequences": 8, "tokens": 400, "cells": 500, "attended": 50.0, "predicted": 60, "seconds": 2.0,
    "data_seconds": 0.5, "checkpoint_seconds": 0.0, "memory_bytes": 10,
}  # fmt: skip


class Seen:
    """Collects what a follower passes on."""

    def __init__(self, work: Path, peak: float | None = None) -> None:
        self.work = work
        self.recorded: list[tuple[int, dict[str, float]]] = []
        self.shown: list[tuple[float, float, str, str]] = []
        self.follower = Follower(Watched(work, 9, SHAPE, peak), self._record, lambda *told: self.shown.append(told))

    def _record(self, step: int, values: Mapping[str, float]) -> None:
        self.recorded.append((step, dict(values)))

    def journal(self, *lines: Mapping[str, Any], torn: str = "") -> None:
        with (self.work / "curve.jsonl").open("a") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines) + torn)
        self.follower.poll()


def test_each_whole_line_is_recorded_once_and_a_torn_one_waits(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    seen.journal({"step": 1, **STEP}, torn='{"step": 2, "lo')
    assert [step for step, _ in seen.recorded] == [1]
    (tmp_path / "curve.jsonl").write_text("".join(json.dumps({"step": at, **STEP}) + "\n" for at in (1, 2)))
    seen.follower.poll()
    assert [step for step, _ in seen.recorded] == [1, 2]
    assert seen.shown[-1][:3] == (2, 9, "steps")
    assert "loss 7.000" in seen.shown[-1][3]


def test_an_evaluation_is_recorded_with_its_perplexity(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    seen.journal({"step": 5, "phase": 0, "held_out_mlm_loss": 0.0, "held_out_mlm_accuracy": 1.0})
    ((step, figures),) = seen.recorded
    assert step == 5
    assert (figures["held_out_mlm_loss"], figures["held_out_mlm_perplexity"]) == (0.0, 1.0)


def test_a_journal_that_was_cut_back_and_has_grown_since_is_read_again(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    seen.journal({"step": 1, **STEP}, {"step": 2, **STEP})
    journal.cut(tmp_path / "curve.jsonl", until=1)
    seen.journal({"step": 2, **STEP}, {"step": 3, **STEP, "loss": 6.123456789})
    assert [step for step, _ in seen.recorded] == [1, 2, 1, 2, 3]


def test_steps_that_are_read_again_make_it_no_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 20.0, 30.0])
    monkeypatch.setattr(follow, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    seen = Seen(tmp_path)
    seen.journal({"step": 1, **STEP}, {"step": 2, **STEP})
    seen.journal({"step": 3, **STEP})
    journal.cut(tmp_path / "curve.jsonl", until=2)
    seen.journal({"step": 3, **STEP})
    seen.journal({"step": 4, **STEP})
    assert [" tokens/s" in note for *_, note in seen.shown] == [False, True, False, True]
    assert seen.shown[1][3].endswith(" 40 tokens/s")
    assert seen.shown[3][3].endswith(" 40 tokens/s")


def test_rates_and_shares_are_derived(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    seen.journal({"step": 1, **STEP})
    values = seen.recorded[0][1]
    expected = {
        "tokens_per_second": 200.0, "examples_per_second": 4.0, "padding_share": 0.2, "data_share": 0.25,
        "memory_bytes": 10.0, "mlm_loss": 6.5,
    }  # fmt: skip
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    assert {"flop_utilisation", "mlm_accuracy", "phase", "attended"}.isdisjoint(values)


@pytest.mark.parametrize(("peak", "device", "flops"), [(2.0, "anything", 2e12), (None, "NVIDIA H200", 989e12)])
def test_utilisation_is_a_share_of_what_all_ranks_can_do(
    peak: float | None, device: str, flops: float, tmp_path: Path
) -> None:
    (tmp_path / "attempts.jsonl").write_text(json.dumps({"ranks": 2, "device": device}) + "\n")
    seen = Seen(tmp_path, peak)
    seen.journal({"step": 1, **STEP})
    work = 200 * flops_per_token(SHAPE, attended=50, predicted_share=0.15)
    assert seen.recorded[0][1]["flop_utilisation"] == pytest.approx(work / (2 * flops))


def test_an_event_is_told_once_though_the_journal_is_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Seen(tmp_path)
    event = {"step": 2, "event": "rewound", "to_step": 1, "reason": "the loss is nan"}
    with caplog.at_level(logging.WARNING, logger="pretrace"):
        seen.journal({"step": 1, **STEP}, event, {"step": 2, **STEP}, {"step": 3, **STEP})
        (tmp_path / "curve.jsonl").write_text(json.dumps({"step": 1, **STEP}) + "\n" + json.dumps(event) + "\n")
        seen.follower.poll()
    assert [record.message for record in caplog.records] == ["step 2: rewound: to_step 1, reason the loss is nan"]
    assert [step for step, _ in seen.recorded] == [1, 2, 3, 1]
