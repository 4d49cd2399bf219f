"""What went wrong is told in Prefect's log by its sentence: a traceback is for mistakes of this program, not of its user."""

import logging

from pipeline.core.errors import PretraceError

LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")
LAST_WORD = "exited with unexpected exception"
"""With this Prefect's engine tells once more, after the flow and its task did, what ended the flow."""


class Sentences(logging.Filter):
    """Takes the traceback from what tells of an error of ours, and passes over what was told before."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is to be told, and shorten it."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, PretraceError):
            return True
        record.exc_info = record.exc_text = None
        return LAST_WORD not in record.getMessage()


def told_in_sentences() -> None:
    """Have Prefect's loggers of this process tell errors of ours in a sentence each."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, Sentences) for known in logger.filters):
            logger.addFilter(Sentences())
