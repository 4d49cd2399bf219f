"""Fixtures for all tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from cluster.ray_compute import RayCompute
from flows.running import QUIET
from tests.cluster.entries import CANCEL_SECONDS
from tests.processes import free_port, kill_tree, wait_for_answer

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"
BIN = Path(sys.executable).parent
TOGETHER = ("e2e", "cluster", "training", "stages", "flows")
"""Folders whose files share a fixture that takes long to make: one worker of pytest-xdist runs all of a folder."""
APART = {
    "tests/cluster/test_hosts.py": "hosts",
    "tests/e2e/test_bad_input.py": "flows",
    "tests/stages/test_sweep.py": "cluster",
}
"""Files that share little with their folder, and where they go: to one that mostly waits, to Prefect's server, to Ray."""


settings.register_profile(
    "suite",
    deadline=None,  # the first call of a kernel compiles it
    derandomize=True,  # a change is judged by what it changed, not by what was drawn this time
    suppress_health_check=[HealthCheck.too_slow],  # that would be timing
)
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Let what tests start hear an interrupt: children inherit it where it is ignored, as in the background or by xdist."""
    if hasattr(config, "workerinput") or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
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
    return APART.get(file, folder if folder in TOGETHER else file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest, so that workers end together."""
    order = ["hosts", *TOGETHER]
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
def compute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCompute]:
    """One embedded Ray for all tests that can share it: a process has one at most."""
    state = tmp_path_factory.mktemp("state")
    with (
        pytest.MonkeyPatch.context() as patch,
        RayCompute(address=None, workers=2, ranks=2, state=state, max_failures=1) as place,
    ):
        patch.setattr("cluster.ray_compute.CANCEL_SECONDS", CANCEL_SECONDS)
        yield place
    assert list(state.iterdir()) == []


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
            wait_for_answer(server, f"{url}/health", folder / "log")
            yield url
        finally:
            kill_tree(server)
