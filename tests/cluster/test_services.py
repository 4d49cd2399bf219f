"""Services that are kept alive, with small programs in place of the real ones."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from cluster import services
from cluster.services import MARK, Asked, Keeper, Kept, Service, answers_at, require_port
from pipeline.core.errors import ComputeError, ConfigError
from tests.processes import PATIENCE_SECONDS, free_port, is_alive, kill, until, wait_for_end

PYTHON = (sys.executable, "-I", "-S")
ROOT = Path(__file__).resolve().parents[2]
SLEEPS = "import time; time.sleep(600)"
IGNORES = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
LEAVES_ONE = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SLEEPS!r}], start_new_session=True); time.sleep(600)"


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """A mark of this test alone; what still carries it at the end is killed."""
    yield str(tmp_path)
    kill(carrying(str(tmp_path)))


def carrying(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and is_alive(process):
                found.append(process)
    return found


def service(name: str, code: str, folder: Path, answers: Callable[[], bool] = lambda: True, **more: object) -> Service:
    command = (*PYTHON, "-c", code)
    return Service(name, command, dict(os.environ), folder / f"{name}.log", answers, **more)  # type: ignore[arg-type]


def stages(kept: Sequence[Kept]) -> list[str]:
    return [one.stage for one in kept]


class Told:
    """Keeps what a keeper tells, acts on it, and asks for an end when all is done."""

    def __init__(self, asked: Asked, *acts: Callable[[Sequence[Kept]], bool]) -> None:
        """Each act is tried at every look until it says that it is done, then the next one is."""
        self.asked, self.acts = asked, list(acts)
        self.seen: list[list[str]] = []
        self.patience = time.monotonic() + PATIENCE_SECONDS

    def __call__(self, kept: Sequence[Kept]) -> None:
        assert time.monotonic() < self.patience, f"waited in vain: {self.seen}"
        if not self.seen or self.seen[-1] != stages(kept):
            self.seen.append(stages(kept))
        if self.acts and self.acts[0](kept):
            self.acts.pop(0)
        if not self.acts:
            self.asked.times = max(self.asked.times, 1)


def all_answer(kept: Sequence[Kept]) -> bool:
    return stages(kept) == ["answers"] * len(kept)


def process_of(kept: Kept) -> "subprocess.Popen[bytes]":
    assert kept.process is not None
    return kept.process


def kill_first(kept: Sequence[Kept]) -> bool:
    process_of(kept[0]).kill()
    return True


def test_services_start_when_those_they_need_answer_and_end_the_other_way_round(tmp_path: Path, mark: str) -> None:
    port = free_port()
    serve = f"import http.server as h; h.HTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
    first = service("first", serve, tmp_path, answers_at(f"http://127.0.0.1:{port}/"))
    second = service("second", SLEEPS, tmp_path, needs=("first",))
    asked = Asked()
    told = Told(asked, all_answer)
    Keeper([first, second], mark, asked).keep(told)
    assert told.seen[0] == ["starting", "waiting"]
    assert told.seen[-3:] == [["answers", "answers"], ["answers", "ended"], ["ended", "ended"]]
    assert carrying(mark) == []
    assert "GET / " in (tmp_path / "first.log").read_text()


def test_one_that_dies_is_started_again(tmp_path: Path, mark: str) -> None:
    asked = Asked()
    told = Told(asked, all_answer, kill_first, lambda kept: stages(kept)[0] == "restarting", all_answer)
    Keeper([service("one", SLEEPS, tmp_path), service("two", SLEEPS, tmp_path)], mark, asked).keep(told)
    assert ["restarting", "answers"] in told.seen
    assert carrying(mark) == []


def test_one_that_dies_again_and_again_ends_all(tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "LOOK_SECONDS", 0.02)
    dying = service("dying", "raise SystemExit(3)", tmp_path, lambda: False)
    sentence = "dying: died 4 times within 10 minutes, at last with exit code 3; " + re.escape(
        str(tmp_path / "dying.log")
    )
    asked = Asked()
    told = Told(asked, lambda kept: False)
    with pytest.raises(ComputeError, match=sentence):
        Keeper([service("well", SLEEPS, tmp_path), dying], mark, asked).keep(told)
    assert told.seen[-1] == ["ended", "ended"]
    assert carrying(mark) == []


def test_one_that_does_not_answer_in_time_ends_all(tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "START_SECONDS", 0.1)
    asked = Asked()
    with pytest.raises(ComputeError, match=r"mute: did not answer within 0 s; .*mute\.log says why"):
        Keeper([service("mute", SLEEPS, tmp_path, lambda: False)], mark, asked).keep(Told(asked, lambda kept: False))
    assert carrying(mark) == []


def test_what_does_not_listen_is_killed_and_what_was_left_behind_too(
    tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "LEFT_SECONDS", 0.1)
    deaf = service("deaf", IGNORES, tmp_path, lambda: bool((tmp_path / "deaf.log").read_text()), end_seconds=0.1)
    asked = Asked()
    two = lambda kept: len(carrying(mark)) == 3  # noqa: E731 - both, and the one that was left behind
    Keeper([deaf, service("leaves", LEAVES_ONE, tmp_path)], mark, asked).keep(Told(asked, all_answer, two))
    assert carrying(mark) == []


def test_whoever_asks_twice_does_not_wait(tmp_path: Path, mark: str) -> None:
    deaf = service("deaf", IGNORES, tmp_path, lambda: bool((tmp_path / "deaf.log").read_text()), end_seconds=3600)
    asked, over = Asked(), threading.Event()

    def ask_again() -> None:
        while not over.wait(0.1):
            asked.times += asked.times > 0

    threading.Thread(target=ask_again, daemon=True).start()
    try:
        Keeper([deaf], mark, asked).keep(Told(asked, all_answer))
    finally:
        over.set()
    assert carrying(mark) == []


def test_signals_are_counted_and_then_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Asked() as asked:
        assert not asked
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.times == 2
    assert signal.getsignal(signal.SIGTERM) is before


KEEPER = """
import os, sys
from pathlib import Path
from cluster.services import Asked, Keeper, Service
code, folder, mark = sys.argv[1:]
one = Service("one", (sys.executable, "-I", "-S", "-c", code), dict(os.environ), Path(folder) / "log", lambda: True, end_seconds=0.1)
with Asked() as asked:
    Keeper([one], mark, asked).keep(lambda kept: print(kept[0].stage, flush=True))
"""


@pytest.mark.parametrize("also_the_watchman", [False, True])
def test_nothing_outlives_a_keeper_that_is_killed(tmp_path: Path, mark: str, also_the_watchman: bool) -> None:
    code = SLEEPS if also_the_watchman else LEAVES_ONE
    command = [sys.executable, "-c", KEEPER, code, str(tmp_path), mark]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout is not None
        while "answers" not in keeper.stdout.readline():
            assert keeper.poll() is None
        until(lambda: len(carrying(mark)) == (1 if also_the_watchman else 2), "all that it starts")
        left = carrying(mark)
        if also_the_watchman:
            with_watchman = [child for child in psutil.Process(keeper.pid).children() if child not in left]
            assert len(with_watchman) == 1
            with_watchman[0].kill()
        keeper.kill()
        wait_for_end(left)


def test_a_keeper_that_is_asked_by_a_signal_ends_well(tmp_path: Path, mark: str) -> None:
    command = [sys.executable, "-c", KEEPER, SLEEPS, str(tmp_path), mark]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline().strip() in ("starting", "answers")
        keeper.send_signal(signal.SIGTERM)
        said = keeper.stdout.read()
        assert keeper.wait(PATIENCE_SECONDS) == 0
    assert said.endswith("ended\n")
    assert carrying(mark) == []


def test_a_port_in_use_is_named_with_who_has_it() -> None:
    with socket.socket() as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        sentence = rf"^--port-base: port {port} for the web server is in use by .*, process {os.getpid()}; end "
        with pytest.raises(ConfigError, match=sentence):
            require_port(port, "web server", "--port-base")
    require_port(port, "web server", "--port-base")


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--port-base: port 70000 for the web server"):
        require_port(70_000, "web server", "--port-base")
