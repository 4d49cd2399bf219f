"""One hierarchy of errors, one exit code each.

A message says what is wrong, what was expected and what to do, and opens with the dotted setting or the path.
The command line prints it without a traceback: these are mistakes a user can mend.
"""

from typing import ClassVar


class PretraceError(Exception):
    """Anything a user can mend; the base of all others."""

    exit_code: ClassVar[int] = 1


class ConfigError(PretraceError):
    """A setting is wrong: unknown, out of range, or at odds with another one."""

    exit_code = 2


class StoreError(ConfigError):
    """The place named by `run.store` cannot be used: full, made by another version, or not writable."""


class BusyError(StoreError):
    """Another process is making the same artifact at this moment."""


class DataError(PretraceError):
    """The data are not what the settings promise: cut, malformed, empty or too small."""

    exit_code = 3


class AuditError(PretraceError):
    """Bytes in the store are not the bytes that the manifests name."""

    exit_code = 4


class ComputeError(PretraceError):
    """A worker or rank ended abnormally; made pieces and checkpoints are kept for the next attempt."""

    exit_code = 5


class Interrupted(PretraceError):  # noqa: N818 - asked for, and nothing is wrong
    """Somebody asked for an end; the same command goes on from here."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: schedulers take it for "start me again"


class BudgetReached(PretraceError):  # noqa: N818 - asked for, and nothing is wrong
    """What a run may emit is used up; the same command with a higher `run.carbon_budget_kg` goes on from here."""

    exit_code = 75
