"""One embedded Ray for all tests of this folder that can share it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster.logs import REMOTE
from cluster.ray_compute import RayCompute
from tests.cluster.entries import CANCEL_SECONDS


@pytest.fixture(scope="session")
def compute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCompute]:
    state = tmp_path_factory.mktemp("state")
    with (
        pytest.MonkeyPatch.context() as patch,
        RayCompute(address=None, workers=2, ranks=2, state=state, max_failures=1) as place,
    ):
        patch.setattr("cluster.ray_compute.CANCEL_SECONDS", CANCEL_SECONDS)
        yield place
    assert list(state.iterdir()) == []


class Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, record.getMessage()))


@contextmanager
def listening(logger: logging.Logger) -> Iterator[Heard]:
    """Hear what a logger is told."""
    handler = Heard()
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening(REMOTE) as handler:
        yield handler
