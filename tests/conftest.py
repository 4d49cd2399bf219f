"""Fixtures for all tests."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.running import QUIET

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"
BIN = Path(sys.executable).parent
SERVER_SECONDS = 180


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data: PRETRACE_TEST_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("PRETRACE_TEST_DATA", BESIDE_THE_CHECKOUT))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real data at {folder}; set PRETRACE_TEST_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server for the whole session: with it a flow takes a second, without it fifteen."""
    folder = tmp_path_factory.mktemp("prefect")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    command = [BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    env = {**os.environ, **QUIET, "PREFECT_HOME": str(folder)}
    with (folder / "log").open("wb") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as server:
        try:
            _wait_for(f"{url}/health", server, folder / "log")
            yield url
        finally:
            kill_tree(server)


def free_port() -> int:
    """Find a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    patience = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < patience and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"Prefect's server did not start: {log.read_text(errors='replace')[-2000:]}")


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill -9 a process and everything it started, the process first."""
    with contextlib.suppress(psutil.NoSuchProcess):
        driver = psutil.Process(process.pid)
        tree = [driver, *driver.children(recursive=True)]
        for member in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(tree[1:], timeout=30)
    process.wait()
