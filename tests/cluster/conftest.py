"""One embedded Ray for all tests of this folder that can share it."""

import logging
from collections.abc import Iterator

import pytest

from cluster.logs import REMOTE
from cluster.ray_compute import RayCompute


@pytest.fixture(scope="session")
def compute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCompute]:
    state = tmp_path_factory.mktemp("state")
    with RayCompute(address=None, workers=2, ranks=2, state=state, max_failures=1) as place:
        yield place
    assert list(state.iterdir()) == []


class Heard(logging.Handler):
    """Keeps what workers and ranks log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, record.getMessage()))


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler = Heard()
    REMOTE.addHandler(handler)
    yield handler
    REMOTE.removeHandler(handler)
