"""Journals of other processes, read while they grow; no Ray is needed for it."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.logs import FOLDER, Listener
from tests.cluster.conftest import Heard

SAYS = """
import logging, os, signal, sys
from cluster.logs import journal
journal(sys.argv[1], int(sys.argv[2])); journal(sys.argv[1], int(sys.argv[2]))
logging.getLogger("pipeline.training.loop").info("step %d", 7)
logging.getLogger("someone").setLevel(logging.INFO)
logging.getLogger("someone").info("chatter")
logging.getLogger("someone").warning("of theirs")
os.kill(os.getpid(), signal.SIGKILL)
"""


def _process(listener: Listener, who: str, level: int) -> None:
    env = {**os.environ, **listener.env(), "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", SAYS, who, str(level)], env=env, check=False)


def test_the_first_rank_is_heard_in_full_and_others_from_warnings_though_they_are_killed(
    tmp_path: Path, heard: Heard
) -> None:
    listener = Listener(tmp_path / "logs")
    _process(listener, "rank 0", logging.INFO)
    _process(listener, "rank 1", logging.WARNING)
    listener.listen()
    host = os.uname().nodename
    assert heard.lines == [
        (logging.INFO, f"rank 0 on {host}: step 7"),
        (logging.WARNING, f"rank 0 on {host}: of theirs"),
        (logging.WARNING, f"rank 1 on {host}: of theirs"),
    ]
    listener.end()
    assert len(heard.lines) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_line_is_heard_once_and_when_it_is_whole(tmp_path: Path, heard: Heard) -> None:
    listener = Listener(tmp_path / "logs")
    journal = Path(listener.env()[FOLDER]) / "h1-1.jsonl"
    line = '{"at": 1.5, "level": 20, "logger": "pretrace", "who": "rank 0 on h1", "text": "100 % done"}\n'
    with journal.open("w") as file:
        file.write(line + line[:30])
        file.flush()
        listener.listen()
        listener.listen()
        assert heard.lines == [(20, "rank 0 on h1: 100 % done")]
        file.write(line[30:])
    listener.listen()
    assert len(heard.lines) == 2


def test_a_process_that_nobody_listens_to_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    done = subprocess.run(
        [sys.executable, "-c", SAYS, "rank 0", "20"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode < 0
    assert list(tmp_path.iterdir()) == []
