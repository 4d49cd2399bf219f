"""Prefect's server: the one that PREFECT_API_URL names, or a temporary one that ends with the run."""

import atexit
import os
from contextlib import suppress

import psutil

from cluster.watchman import dismiss, hire
from pipeline.core.errors import ConfigError
from pipeline.core.tracking import reason_of, without_passwords

URL = "PREFECT_API_URL"
MARK = "PRETRACE_DRIVER"
"""In the environment of what a run starts: the process that started it."""
APP = "prefect.server.api.server:create_app"
END_SECONDS = 5.0


def start() -> None:
    """Ask the server that is named whether it is there; where none is, start a temporary one.

    Raises: ConfigError if it does not answer.
    """
    if URL not in os.environ:
        os.environ[MARK] = str(os.getpid())
        atexit.register(dismiss, hire("flows.server:end_temporary", os.environ[MARK]))
    from httpx import HTTPError
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            client.raise_for_api_version_mismatch()
    except (RuntimeError, HTTPError) as error:
        raise away("does not answer", error) from error


def away(how: str, error: Exception) -> ConfigError:
    """Say what a server that is not there means."""
    reason = f"{how} ({reason_of(error.__cause__ if isinstance(error.__cause__, Exception) else error)})"
    if URL in os.environ:
        what_to_do = "start it, or unset the variable: the run then has a temporary server"
        return ConfigError(f"{URL}={without_passwords(os.environ[URL])}: {reason}; {what_to_do}")
    return ConfigError(
        f"{URL}: is not set, and the temporary server {reason}; run again, or start prefect server and name it"
    )


def end_temporary(driver: str) -> None:
    """End the temporary server of a driver that was killed; one that ends by itself takes it along."""
    found = [process for process in psutil.process_iter() if _is_of(process, driver)]
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(found, timeout=END_SECONDS)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _is_of(process: psutil.Process, driver: str) -> bool:
    try:
        return APP in process.cmdline() and process.environ().get(MARK) == driver
    except psutil.Error:
        return False
