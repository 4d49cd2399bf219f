import logging

import pytest

from flows import sentences
from flows.sentences import Sentences, told_in_sentences
from pipeline.core.errors import DataError

SENTENCE = "a.txt: is empty"
LAST_WORD = "Engine execution exited with unexpected exception"


@pytest.fixture
def logger(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """Stand in for Prefect's loggers, which send what they are told to a server."""
    name = f"tests.{request.node.name}"
    monkeypatch.setattr(sentences, "LOGGERS", (name,))
    told_in_sentences()
    return logging.getLogger(name)


def tell(logger: logging.Logger, error: Exception, message: str) -> None:
    """Log an error as Prefect does."""
    try:
        raise error
    except (DataError, ZeroDivisionError):
        logger.exception(message)


def test_an_error_of_ours_is_told_without_a_traceback(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    tell(logger, DataError(SENTENCE), f"Encountered exception during execution: {SENTENCE}")
    assert SENTENCE in caplog.text
    assert "Traceback" not in caplog.text


def test_what_ended_a_flow_is_not_told_once_more(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    tell(logger, DataError(SENTENCE), LAST_WORD)
    assert caplog.text == ""


def test_a_mistake_of_this_program_keeps_its_traceback(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    tell(logger, ZeroDivisionError("1 / 0"), LAST_WORD)
    assert "Traceback" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_asking_twice_changes_nothing(logger: logging.Logger) -> None:
    told_in_sentences()
    assert [type(known) for known in logger.filters] == [Sentences]
