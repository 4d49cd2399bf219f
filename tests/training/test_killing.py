"""Kill -9 at any moment, again and again: what a run ends with is the same to the byte."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pipeline.core.seeds import rng
from pipeline.training.order import Order
from tests.training import one_rank
from tests.training.conftest import Launch, Undisturbed, digests, lines_of, moved
from tests.training.one_rank import Death, Trial

pytestmark = pytest.mark.slow

KILLED = -9
SHARES = (1.0, 0.8, 0.6, 0.4)
"""Up to where in the calls of a whole run each attempt is killed: later ones have less left to do."""
FEWEST = 2
"""Of the attempts at least so many must have been killed: threads call more or less functions, and one may end first."""


def _resumed(order: Order) -> list[int]:
    attempts = (Path(order.work) / "attempts.jsonl").read_text().splitlines()
    return [json.loads(attempt)["resumed_at_step"] for attempt in attempts]


def _kill_until_it_ends(launch: Launch, order: Order, ranks: int, trials: Sequence[Trial]) -> int:
    """Put each attempt to one trial; return how many were killed before one came to the end."""
    for killed, trial in enumerate(trials):
        codes = launch(order, ranks, trials=[trial], beside=True).exit_codes
        if not any(codes):
            return killed
        assert KILLED in codes
    assert launch(order, ranks).well()
    return len(trials)


@pytest.fixture(scope="session")
def calls(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """Where the number of calls of an undisturbed run is kept, once it is known."""
    return []


@pytest.mark.parametrize(("ranks", "seed"), [(1, 0), (1, 1), (1, 2), (2, 3)], ids=["a", "b", "c", "two ranks"])
def test_killed_in_any_call_of_any_function(
    ranks: int,
    seed: int,
    order: Order,
    calls: list[int],
    launch: Launch,
    undisturbed: Undisturbed,
    tmp_path: Path,
) -> None:
    if not calls:
        counted = moved(order, tmp_path / "counted")
        assert launch(counted, trials=[partial(one_rank.count_calls, tmp_path / "calls")], beside=True).well()
        calls.append((tmp_path / "calls").stat().st_size)
    draws = rng(seed, "deaths")
    moments = [int(draws.integers(1, calls[0] * share)) for share in SHARES]
    trials = [partial(one_rank.die_after_calls, moment, int(draws.integers(ranks))) for moment in moments]
    killed = moved(order, tmp_path / "killed")
    assert _kill_until_it_ends(launch, killed, ranks, trials) >= FEWEST
    assert digests(killed) == digests(undisturbed(order, ranks))


def test_killed_at_any_time(order: Order, launch: Launch, undisturbed: Undisturbed, tmp_path: Path) -> None:
    draws = rng(4, "deaths")
    trials = [
        partial(one_rank.die_after_seconds, float(draws.uniform(0.05, 1.5)), int(draws.integers(2))) for _ in range(4)
    ]
    killed = moved(order, tmp_path)
    _kill_until_it_ends(launch, killed, 2, trials)
    assert digests(killed) == digests(undisturbed(order, 2))


WHILE_SAVING: tuple[tuple[Death, int], ...] = (
    (("pipeline.training.shards._blocks", 2), 0),  # between two files of the first
    (("pipeline.training.shards.os.fsync", 4), 0),  # a file is there, perhaps not on the disk
    (("pipeline.training.checkpoint.write_json", 1), 0),  # all files are there, and not their names
    (("pipeline.training.checkpoint._commit", 1), 0),  # all but the rename
    (("pipeline.training.checkpoint._prune", 2), 0),  # two are there, where one should be
    (("os.unlink", 2), 4),  # one is half removed
    (("pipeline.training.results.write_curve", 1), 6),  # weights are written, nothing else of the result
    (("pipeline.training.results.write_json", 2), 6),  # all but the clock's figures
)
"""Where the run is killed, and the step that this attempt went on from."""


def test_killed_in_every_part_of_a_checkpoint_and_of_the_result(
    order: Order, launch: Launch, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    killed = moved(order, tmp_path, keep_checkpoints=1)
    for death, _ in WHILE_SAVING:
        assert launch(killed, death=death).exit_codes == [KILLED], death
    assert launch(killed).well()
    assert _resumed(killed) == [*(step for _, step in WHILE_SAVING), 6]
    assert digests(killed) == digests(undisturbed(order))


@pytest.fixture(scope="module")
def at_step_five(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where a killed run's work is kept once it has been made, with checkpoints of steps 2 and 4."""
    return {}


@pytest.mark.parametrize("harm", ["flipped", "cut", "removed", "unnamed"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    harm: str, order: Order, at_step_five: dict[str, Path], launch: Launch, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    if not at_step_five:
        launch(order, death=("pipeline.training.zero.Engine.update", 6))
        at_step_five["work"] = Path(order.work)
    killed = moved(order, tmp_path / "damaged")
    shutil.copytree(at_step_five["work"], killed.work)
    name = "checkpoint.json" if harm == "unnamed" else "exp_avg_sq-00000.safetensors"
    _harm(Path(killed.work) / "checkpoints" / "step-00000004" / name, harm)
    assert launch(killed).well()
    assert _resumed(killed)[-1] == 2
    (event,) = (line for line in lines_of(killed) if "event" in line)
    assert (event["event"], event["step"]) == ("checkpoint_rejected", 2)
    assert event["reason"].startswith("step-00000004: ")
    assert name in event["reason"]
    assert digests(killed) == digests(undisturbed(order))


def _harm(path: Path, harm: str) -> None:
    content = bytearray(path.read_bytes())
    if harm == "removed":
        path.unlink()
    elif harm == "flipped":
        content[-1] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2])


def test_ranks_and_stage_change_from_attempt_to_attempt(
    order: Order, launch: Launch, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """2 ranks of ZeRO-2, then 1 of ZeRO-1, then 2 of ZeRO-3, then 1 of no ZeRO at all."""
    order = replace(order, shape=replace(order.shape, dropout=0.0))
    steady = undisturbed(order, 2, zero_stage=2)
    for ranks, stage in ((2, 2), (1, 1), (2, 3)):
        changed = moved(order, tmp_path, zero_stage=stage)
        assert KILLED in launch(changed, ranks, ("pipeline.training.zero.Engine.update", 3)).exit_codes
    changed = moved(order, tmp_path, zero_stage=0)
    assert launch(changed).well()
    assert _resumed(changed) == [0, 2, 4, 6]
    ours, theirs = ([line for line in lines_of(one) if "loss" in line] for one in (changed, steady))
    for name in ("loss", "gradient_norm"):
        assert [line[name] for line in ours] == pytest.approx([line[name] for line in theirs], rel=1e-5)
    ours, theirs = ([line for line in lines_of(one) if "held_out_loss" in line] for one in (changed, steady))
    assert [line["held_out_loss"] for line in ours] == pytest.approx(
        [line["held_out_loss"] for line in theirs], rel=1e-5
    )
