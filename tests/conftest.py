"""Fixtures for all tests."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.running import QUIET

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"
BIN = Path(sys.executable).parent
SERVER_SECONDS = 180
TOGETHER = ("e2e", "cluster", "training", "stages", "flows")
"""Folders whose files share a fixture that takes long to make: one worker of pytest-xdist runs all of a folder."""
APART = "tests/cluster/test_hosts.py"
"""Shares nothing, and mostly waits."""


def pytest_configure(config: pytest.Config) -> None:
    """Let what tests start hear an interrupt: workers of pytest-xdist ignore it, and children inherit that."""
    if hasattr(config, "workerinput"):
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal tests to workers by file, or by folder where fixtures are shared."""
    from xdist.scheduler import LoadScopeScheduling

    class Shared(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return together(nodeid.partition("::")[0])

    return Shared(config, log)


def together(file: str) -> str:
    """Name what a file's tests are run together with."""
    _, folder, *_ = file.split("/")
    return folder if folder in TOGETHER and file != APART else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest, so that workers end together."""
    order = [APART, *TOGETHER]
    items.sort(
        key=lambda item: order.index(name) if (name := together(item.nodeid.partition("::")[0])) in order else 99
    )


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
