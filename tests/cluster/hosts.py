"""Hosts as network namespaces of this machine: each has its own addresses and interfaces, and sees the same files.

They hang on a bridge in a namespace of its own, so that nothing of this machine's own network is touched and nothing
leaves. What a host runs is found by its namespace and ended by process id.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.processes import PATIENCE_SECONDS, is_called, kill

NETWORK = "10.77.0"
GATEWAY = f"{NETWORK}.254"
PATIENT_RAY = (sys.executable, "-m", "tests.cluster.patient_ray")


@dataclass(frozen=True)
class Host:
    """One machine of a small network."""

    name: str
    address: str
    space: str  # its network namespace
    switch: str  # the bridge's
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, command: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start a process on it."""
        with log.open("ab") as out:
            inside = ["ip", "netns", "exec", self.space, *command]
            self.started.append(subprocess.Popen(inside, env=env, stdout=out, stderr=out))
        return self.started[-1]

    def end(self) -> None:
        """End all that runs on it."""
        while self.kill():  # one that dies may just have started another
            pass
        for process in self.started:
            process.wait(PATIENCE_SECONDS)

    def processes(self, *words: str) -> list[psutil.Process]:
        """Find what runs on it; with words only those whose command line holds one."""
        found = []
        for line in ip("netns", "pids", self.space).splitlines():
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(int(line))
                if not words or is_called(process, *words):
                    found.append(process)
        return found

    def kill(self, *words: str) -> int:
        """Kill -9 what runs on it, or what `words` name, and say how many it were."""
        doomed = self.processes(*words)
        kill(doomed)
        return len(doomed)

    def cut(self) -> None:
        """Pull its cable out."""
        ip("-n", self.switch, "link", "set", self.name, "down")

    def mend(self) -> None:
        """Put its cable in again."""
        ip("-n", self.switch, "link", "set", self.name, "up")


def why_not() -> str | None:
    """Say why there can be no such hosts here, if that is so."""
    if shutil.which("ip") is None:
        return "no command ip: apt-get install iproute2"
    probe = f"pretrace-{os.getpid()}-probe"
    tried = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"network namespaces are not allowed here: {tried.stderr.strip()}"
    with contextlib.suppress(subprocess.CalledProcessError):
        ip("-n", probe, "link", "add", "bridge", "type", "bridge")
        ip("-n", probe, "link", "add", "one", "type", "veth", "peer", "name", "two")
        ip("netns", "del", probe)
        return None
    ip("netns", "del", probe)
    return "bridges or veth pairs are not allowed here"


@contextlib.contextmanager
def network(*names: str) -> Iterator[list[Host]]:
    """Make hosts that reach each other and nothing else; end all that runs on them, and remove them."""
    spaces = {name: f"pretrace-{os.getpid()}-{name}" for name in ("switch", *names)}
    switch = spaces["switch"]
    hosts = [Host(name, f"{NETWORK}.{at}", spaces[name], switch) for at, name in enumerate(names, 1)]
    with contextlib.ExitStack() as stack:
        for space in spaces.values():
            ip("netns", "add", space)
            stack.callback(ip, "netns", "del", space)
        ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", switch, "addr", "add", f"{GATEWAY}/24", "dev", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        for host in hosts:
            _plug_in(host)
            stack.callback(host.end)
        yield hosts


def _plug_in(host: Host) -> None:
    ip("-n", host.switch, "link", "add", host.name, "type", "veth", "peer", "name", "eth0", "netns", host.space)
    ip("-n", host.switch, "link", "set", host.name, "master", "bridge", "up")
    ip("-n", host.space, "addr", "add", f"{host.address}/24", "dev", "eth0")
    for interface in ("lo", "eth0"):
        ip("-n", host.space, "link", "set", interface, "up")
    ip("-n", host.space, "route", "add", "default", "via", GATEWAY)  # Ray asks which way out it would take


def ip(*arguments: str) -> str:
    """Run iproute2."""
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout
