import signal
import subprocess
import sys
from pathlib import Path

from cluster.embedded import ROOT
from cluster.turn import LOOK_SECONDS, give_turn
from tests.processes import PATIENCE_SECONDS

RANK = """
import sys, time
from pathlib import Path
from cluster.turn import leave_with_turn
leave_with_turn(Path(sys.argv[1]), "first")
print("works", flush=True)
time.sleep(float(sys.argv[2]))
"""


def rank(order: Path, seconds: float) -> subprocess.Popen[str]:
    """Start a process of the gang `first` that works for some time."""
    command = [sys.executable, "-c", RANK, str(order), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_rank_ends_itself_when_it_is_the_turn_of_another_gang(tmp_path: Path) -> None:
    order = tmp_path / "order.json"
    give_turn(order, "first")
    with rank(order, 2 * PATIENCE_SECONDS) as process:
        assert process.stdout
        assert process.stdout.readline() == "works\n"
        assert process.poll() is None
        give_turn(order, "second")
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL


def test_a_rank_ends_itself_when_the_order_was_carried_out_without_it(tmp_path: Path) -> None:
    order = tmp_path / "order.json"
    give_turn(order, "first")
    with rank(order, 2 * PATIENCE_SECONDS) as process:
        assert process.stdout
        assert process.stdout.readline() == "works\n"
        order.with_suffix(".turn").unlink()
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL


def test_a_rank_whose_turn_it_is_works_on(tmp_path: Path) -> None:
    order = tmp_path / "order.json"
    give_turn(order, "first")
    with rank(order, 2.5 * LOOK_SECONDS) as process:
        assert process.wait(PATIENCE_SECONDS) == 0


def test_a_rank_that_cannot_read_whose_turn_it_is_works_on(tmp_path: Path) -> None:
    (tmp_path / "order.turn").write_text("{")
    with rank(tmp_path / "order.json", 2.5 * LOOK_SECONDS) as process:
        assert process.wait(PATIENCE_SECONDS) == 0
