"""Processes that tests look for, wait for and end: any of them may be gone from one line to the next."""

import contextlib
import http.client
import itertools
import os
import random
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

PATIENCE_SECONDS = 300.0
"""For what takes seconds: a machine with a lot else to do needs many times as long."""
LOOK_SECONDS = 0.05
LAST_CHARACTERS = 4000
PORTS = range(20_000, 32_000)
"""Below those that systems give to whoever asks for any, and above those of Ray's workers."""
SHARE = 3_000
"""Ports for one worker of pytest-xdist: those of others are not looked at."""


def until(
    true: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS, *, why: Callable[[], str] = str
) -> None:
    """Wait for something, not for ever; `why` says more where it was in vain."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds:g} s in vain for {what}\n{why()}"
        time.sleep(LOOK_SECONDS)


def answers(url: str) -> bool:
    """Tell whether a URL says that all is well."""
    with contextlib.suppress(OSError, http.client.HTTPException), urllib.request.urlopen(url, timeout=10) as answer:
        return bool(answer.status == 200)
    return False


def wait_for_answer(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    """Wait until what a process serves at a URL answers."""
    _while_it_runs(process, log, lambda: answers(url), f"an answer at {url}")


def below(process: int, *words: str) -> list[psutil.Process]:
    """Find what a process started, and those started; with words only those whose command line holds one."""
    try:
        found = psutil.Process(process).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in found if is_alive(child) and (not words or is_called(child, *words))]


def is_called(process: psutil.Process, *words: str) -> bool:
    """Tell whether the command line of a process holds one of some words; that of one which is gone holds none."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return any(word in command for word in words)


def is_alive(process: psutil.Process | int) -> bool:
    """Tell whether a process runs: one that ended and that nobody asked about yet does not."""
    try:
        found = psutil.Process(process) if isinstance(process, int) else process
        return found.is_running() and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill -9 processes and wait until they are gone."""
    doomed = list(processes)
    for process in doomed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for_end(doomed)


def wait_for_end(processes: Iterable[psutil.Process | int], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until none of some processes runs any more."""
    left = list(processes)
    until(lambda: not any(map(is_alive, left)), f"the end of {left}", seconds)


def kill_tree(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Kill -9 a process and everything it started, the process first."""
    with contextlib.suppress(psutil.NoSuchProcess):
        kill([psutil.Process(process.pid), *below(process.pid)])
    process.wait()


def wait_for_line(process: "subprocess.Popen[bytes]", line: str, log: Path) -> None:
    """Wait until a process has written something into its log."""
    _while_it_runs(process, log, lambda: line in log.read_text(errors="replace"), repr(line))


def _while_it_runs(process: "subprocess.Popen[bytes]", log: Path, true: Callable[[], bool], what: str) -> None:
    def said() -> str:
        return log.read_text(errors="replace")[-LAST_CHARACTERS:]

    def so() -> bool:
        ended = process.poll() is not None
        if not true():
            assert not ended, f"ended before {what}\n{said()}"
            return False
        return True

    until(so, what, why=said)


def _ports() -> Iterable[int]:
    """Go round the ports of this worker of pytest-xdist, from one at random: other suites may run here, too."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = PORTS[worker * SHARE % len(PORTS) :][:SHARE]
    start = random.SystemRandom().randrange(len(own))
    return itertools.cycle([*own[start:], *own[:start]])


_NEXT = iter(_ports())


def free_port(neighbours: int = 0) -> int:
    """Find a port of the loopback that nobody listens on, with so many after it; none is given twice."""
    while True:
        ports = list(itertools.islice(_NEXT, neighbours + 1))
        if ports[-1] - ports[0] == neighbours and all(map(_is_free, ports)):
            return ports[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
