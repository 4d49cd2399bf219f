"""Hearing what workers and ranks say."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster.logs import REMOTE


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
