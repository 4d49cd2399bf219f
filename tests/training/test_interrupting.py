"""Ranks that are asked to stop: a checkpoint, an exit code that says so, and the same end as if nobody had asked."""

import json
import signal
from functools import partial
from pathlib import Path

import pytest

from pipeline.core.errors import Interrupted
from pipeline.training.order import Order
from tests.training import one_rank
from tests.training.conftest import Launch, Undisturbed, digests, moved

pytestmark = pytest.mark.slow

AGAIN = Interrupted.exit_code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_rank_that_gets_a_signal_makes_all_stop_after_a_checkpoint(
    number: int, order: Order, launch: Launch, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    stopped = moved(order, tmp_path)
    signalled = partial(one_rank.signal_in, ("pipeline.training.zero.Engine.update", 4), 1, number)
    ended = launch(stopped, 2, trials=[signalled])
    assert ended.exit_codes == [AGAIN, AGAIN]
    assert "interrupted after step 5; run the same command again to go on" in ended.log
    assert launch(stopped, 2).well()
    attempts = (Path(stopped.work) / "attempts.jsonl").read_text().splitlines()
    assert [json.loads(attempt)["resumed_at_step"] for attempt in attempts] == [0, 5]
    assert digests(stopped) == digests(undisturbed(order, 2))


def test_a_file_in_the_work_folder_makes_them_stop_once(order: Order, launch: Launch, tmp_path: Path) -> None:
    stopped = moved(order, tmp_path)
    Path(stopped.work).mkdir(parents=True)
    (Path(stopped.work) / "stop").touch()
    assert launch(stopped, 2).exit_codes == [AGAIN, AGAIN]
    assert [path.name for path in (Path(stopped.work) / "checkpoints").iterdir()] == ["step-00000001"]
    assert launch(stopped, 2).well()


def test_what_was_asked_for_in_the_last_step_is_over_anyway(order: Order, launch: Launch, tmp_path: Path) -> None:
    ended = moved(order, tmp_path)
    signalled = partial(one_rank.signal_in, ("pipeline.training.zero.Engine.update", 8), 0, signal.SIGTERM)
    assert launch(ended, trials=[signalled]).well()
