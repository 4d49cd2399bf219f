"""Processes that are kept alive together: started, awaited, watched, started again when one dies, ended with their keeper.

Nothing outlives the keeper, whichever way it goes. What it starts carries a mark in its environment and hands it on to
all that it starts itself; a watchman ends what carries the mark when the keeper was killed. PR_SET_PDEATHSIG takes care
of the services themselves where the watchman was killed, too.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, Self

import psutil

from cluster.watchman import dismiss, hire
from pipeline.core.errors import ComputeError, ConfigError

HOST = "127.0.0.1"
LOOK_SECONDS = 0.2
ASK_SECONDS = 2.0
START_SECONDS = 240.0
"""How long a service may take to answer: a busy machine with two cores needs one for Prefect's server."""
RESTARTS, RESTARTS_SECONDS = 3, 600.0
"""How often one service is started again within this time before all are ended."""
LEFT_SECONDS = 10.0
"""How long what services started may take to end by itself after them."""
MARK = "PRETRACE_KEEPER"
PATIENCE = "PRETRACE_PATIENCE_SECONDS"
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)

Stage = Literal["waiting", "starting", "answers", "restarting", "ended"]


@dataclass(frozen=True)
class Service:
    """A command that has to run all the time."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log: Path
    answers: Callable[[], bool]
    """Whether it does its work; asked until it says so."""
    where: str = ""
    """What people open to see it."""
    needs: Sequence[str] = ()
    """The services that have to answer before it starts."""
    end_seconds: float = 10.0
    """How long it may take to end when it is asked to."""


@dataclass
class Kept:
    """A service and how it is."""

    service: Service
    stage: Stage = "waiting"
    since: float = field(default_factory=time.monotonic)
    process: "subprocess.Popen[bytes] | None" = None
    deaths: deque[float] = field(default_factory=deque)

    def enter(self, stage: Stage) -> None:
        """Note how it is from now on."""
        self.stage, self.since = stage, time.monotonic()


class Asked:
    """Whether somebody asked for an end, by Ctrl-C or SIGTERM, and how often."""

    def __init__(self) -> None:
        self.times = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.times > 0

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.times += 1


class Keeper:
    """Keeps services alive until an end is asked for."""

    def __init__(self, services: Sequence[Service], mark: str, asked: Asked) -> None:
        """`mark` is one that no other living keeper on this host has."""
        self.kept = {service.name: Kept(service) for service in services}
        self._mark, self._asked = mark, asked

    def keep(self, tell: Callable[[Sequence[Kept]], None]) -> None:
        """Start all, watch them, and end them when that is asked for; `tell` is called at every look.

        Raises: ComputeError if one does not answer in time, or dies too often.
        """
        watchman = hire("cluster.services:end_left", self._mark)
        try:
            while not self._asked:
                for kept in self.kept.values():
                    self._look_after(kept)
                tell(list(self.kept.values()))
                time.sleep(LOOK_SECONDS)
        finally:
            self._end(tell)
            end_left(self._mark, LEFT_SECONDS)
            dismiss(watchman)

    def _look_after(self, kept: Kept) -> None:
        if kept.process is None:
            if all(self.kept[name].stage == "answers" for name in kept.service.needs):
                self._start(kept, "starting")
        elif (code := kept.process.poll()) is not None:
            self._start_again(kept, code)
        elif kept.stage != "answers":
            self._ask(kept)

    def _start(self, kept: Kept, stage: Stage) -> None:
        service = kept.service
        env = {**service.env, MARK: self._mark, PATIENCE: str(service.end_seconds)}
        service.log.parent.mkdir(parents=True, exist_ok=True)
        with service.log.open("ab") as log:
            kept.process = subprocess.Popen(
                service.command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the keeper
                preexec_fn=leash,
            )
        kept.enter(stage)

    def _start_again(self, kept: Kept, code: int) -> None:
        _kill_group(kept)
        now, name = time.monotonic(), kept.service.name
        kept.deaths.append(now)
        while now - kept.deaths[0] > RESTARTS_SECONDS:
            kept.deaths.popleft()
        if len(kept.deaths) > RESTARTS:
            raise ComputeError(
                f"{name}: died {len(kept.deaths)} times within {RESTARTS_SECONDS / 60:.0f} minutes, at last with "
                f"exit code {code}; {kept.service.log} says why"
            )
        self._start(kept, "restarting")

    def _ask(self, kept: Kept) -> None:
        if kept.service.answers():
            kept.enter("answers")
        elif time.monotonic() - kept.since > START_SECONDS:
            raise ComputeError(
                f"{kept.service.name}: did not answer within {START_SECONDS:.0f} s; {kept.service.log} says why"
            )

    def _end(self, tell: Callable[[Sequence[Kept]], None]) -> None:
        """End those that need others first; whoever asks once more does not want to wait."""
        before = self._asked.times
        for kept in reversed(self.kept.values()):
            if kept.process is not None:
                _end_one(kept, kept.process, lambda: self._asked.times > max(before, 1))
            kept.enter("ended")
            tell(list(self.kept.values()))


def leash() -> None:
    """Let this process be killed when the thread that started it ends; called between fork and exec."""
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _end_one(kept: Kept, process: "subprocess.Popen[bytes]", in_haste: Callable[[], bool]) -> None:
    patience = time.monotonic() + kept.service.end_seconds
    process.terminate()
    while process.poll() is None and time.monotonic() < patience and not in_haste():
        time.sleep(LOOK_SECONDS)
    _kill_group(kept)
    process.wait()


def _kill_group(kept: Kept) -> None:
    """Kill a service and what it started in its own group: it would hold the port."""
    if kept.process is not None:
        with suppress(ProcessLookupError):
            os.killpg(kept.process.pid, signal.SIGKILL)


def end_left(mark: str, most_seconds: float = float("inf")) -> None:
    """Wait for what carries the mark to end by itself, as long as it may, and kill what does not."""
    start = time.monotonic()
    while left := dict(_marked(mark)):
        waited = time.monotonic() - start
        for process, patience in left.items():
            if waited >= min(patience, most_seconds):
                with suppress(psutil.Error):
                    process.kill()
        time.sleep(LOOK_SECONDS)


def _marked(mark: str) -> Iterator[tuple[psutil.Process, float]]:
    """Find what a keeper with this mark started, and how long each may take to end."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            env = process.environ()
            if env.get(MARK) == mark and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                yield process, float(env.get(PATIENCE, 0))


def require_port(port: int, service: str, option: str) -> None:
    """Refuse a port of the loopback that somebody listens on.

    Raises: ConfigError naming the service, the port and who has it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection that is winding up does not count
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            who = _listener(port)
            how = f"is in use by {who}" if who else f"cannot be used ({getattr(error, 'strerror', None) or error})"
            raise ConfigError(
                f"{option}: port {port} for the {service} {how}; end what uses it or give another {option}"
            ) from error


def _listener(port: int) -> str:
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            at = connection.laddr[1] if connection.laddr else None
            if at == port and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f"{psutil.Process(connection.pid).name()}, process {connection.pid}"
    return ""


def answers_at(url: str) -> Callable[[], bool]:
    """Ask a URL whether it says that all is well."""

    def ask() -> bool:
        with suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=ASK_SECONDS) as answer:
            return bool(answer.status == 200)
        return False

    return ask
