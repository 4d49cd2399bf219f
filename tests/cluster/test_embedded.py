import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.embedded import PARENT, PREFIX, ROOT, Mark, gang_prefix, reap
from pipeline.core.files import read_json, write_json
from tests.processes import PATIENCE_SECONDS, below, is_alive, kill_tree, until, wait_for_end


def mark_of(process: psutil.Process) -> Mark:
    return {"pid": process.pid, "created": process.create_time()}


def note_of(state: Path) -> Path:
    return next(iter(state.glob("ray-*.json")))


@pytest.fixture
def leftover() -> Iterator[psutil.Process]:
    with subprocess.Popen(["sleep", "600"]) as child:
        yield psutil.Process(child.pid)
        child.kill()


@pytest.fixture
def dead() -> Mark:
    with subprocess.Popen(["sleep", "600"]) as child:
        mark = mark_of(psutil.Process(child.pid))
        child.kill()
    return mark


def write_note(state: Path, driver: Mark, process: Mark, folder: str) -> None:
    name = f"ray-{socket.gethostname()}-{driver['pid']}.json"
    write_json(state / name, {"driver": driver, "processes": [process], "folder": folder})


def test_leftovers_of_a_dead_driver_are_ended(tmp_path: Path, leftover: psutil.Process, dead: Mark) -> None:
    folder = PARENT / f"{PREFIX}test-{os.getpid()}"
    folder.mkdir()
    write_note(tmp_path, dead, mark_of(leftover), str(folder))
    (tmp_path / f"{gang_prefix(dead['pid'])}1234" / "notes").mkdir(parents=True)
    reap(tmp_path)
    wait_for_end([leftover])
    assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_driver_started_is_left_alone(tmp_path: Path, leftover: psutil.Process) -> None:
    write_note(tmp_path, mark_of(psutil.Process()), mark_of(leftover), str(tmp_path))
    reap(tmp_path)
    assert leftover.is_running()
    assert note_of(tmp_path).exists()


def test_a_note_that_goes_while_it_is_looked_for_is_passed_over(tmp_path: Path, dead: Mark) -> None:
    gone = tmp_path / f"ray-{socket.gethostname()}-1.json"
    gone.symlink_to(tmp_path / "gone")  # listed, and not there
    write_note(tmp_path, dead, dead, "")
    reap(tmp_path)
    assert list(tmp_path.iterdir()) == [gone]


def test_a_later_process_with_the_same_id_and_a_folder_of_others_are_left_alone(
    tmp_path: Path, leftover: psutil.Process, dead: Mark
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    write_note(tmp_path, dead, {"pid": leftover.pid, "created": leftover.create_time() - 60}, str(mine))
    reap(tmp_path)
    assert leftover.is_running()
    assert mine.exists()


@pytest.mark.slow
def test_a_ray_that_does_not_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    script = (
        f"from pathlib import Path; from cluster.embedded import Embedded; Embedded(-1, Path({str(tmp_path)!r}), {{}})"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert re.search(r"ComputeError: /tmp: an embedded Ray did not start there: .*'CPU': -1", ended.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A driver whose two workers are at work, started in a folder that is not the repository."""
    command = [sys.executable, "-m", "tests.cluster.driver", "none", "2", "waits", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: len(list(tmp_path.glob("notes/*"))) == 2, "both workers")
            yield process
        finally:
            kill_tree(process)


@pytest.mark.slow
def test_nothing_outlives_a_killed_driver(tmp_path: Path, driver: subprocess.Popen[str]) -> None:
    children, folder = below(driver.pid), Path(read_json(note_of(tmp_path / "state"))["folder"])
    assert below(driver.pid, "raylet")
    assert len(below(driver.pid, "ray::")) >= 2
    driver.kill()
    wait_for_end(children)
    until(lambda: not list((tmp_path / "state").iterdir()), "the end of all notes")
    assert not folder.exists()


@pytest.mark.slow
def test_a_driver_that_is_interrupted_leaves_nothing(tmp_path: Path, driver: subprocess.Popen[str]) -> None:
    children = below(driver.pid)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(PATIENCE_SECONDS) != 0
    assert not any(map(is_alive, children))
    assert list((tmp_path / "state").iterdir()) == []
    assert list((tmp_path / "pieces").iterdir()) == []
