"""Joining a Ray cluster that is already there; tokens, without which nobody runs code on it."""

import logging
import os
import secrets
import socket
import sys
from contextlib import suppress
from pathlib import Path

from pipeline.core.errors import ComputeError

MODE = "RAY_AUTH_MODE"
TOKEN_BYTES = 32
KNOCK_SECONDS = 10.0
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How gRPC, which Ray's head speaks, begins; it answers with a frame of the same kind, 4 (RFC 9113, 3.4)."""
TOKEN_FILE = Path(".ray") / "auth_token"


def join(address: str, env: dict[str, str]) -> None:
    """Connect this process to the cluster at `host:port`, with `env` in the environment of every worker.

    Raises: ComputeError if nothing answers there, it does not take our token, or this host is none of its own.
    """
    _check_answers(address)
    use_token()
    import ray

    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": env})
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError) as error:
        raise ComputeError(f"run.ray_address={address}: {_reason(error)}") from error


def _check_answers(address: str) -> None:
    """Knock before Ray does: it would try for minutes, and where something else answers for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS) as line:
            known = os.environ.get("RAY_USE_TLS", "0") not in ("0", "false") or _greets(line)
    except (OSError, ValueError) as error:
        raise ComputeError(_no_ray(address, str(error))) from error
    if not known:
        raise ComputeError(_no_ray(address, "something else does"))


def _greets(line: socket.socket) -> bool:
    line.sendall(HELLO)
    return line.recv(9)[3:4] == HELLO[-6:-5]


def _no_ray(address: str, why: str) -> str:
    return (
        f"run.ray_address={address}: no Ray answers there ({why}); expected host:port of the head, "
        "where ray start --head runs"
    )


def _reason(error: BaseException) -> str:
    """Say what to do about a cluster that was not joined; Ray hides the reason under other errors."""
    chain = [error]
    while below := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(below)
    if any("InvalidAuthToken" in str(link) for link in chain):
        return f"the cluster does not take this host's token; copy ~/{TOKEN_FILE} from the head, or set RAY_AUTH_TOKEN"
    return f"{error}; this host has to be one of the cluster: ray start --address=..."


def use_token() -> None:
    """Turn token authentication on where there is a token: Ray does so for its own clusters, not for an address.

    Ray reads the mode when it is imported; one that is already there has to read it again.
    """
    if MODE in os.environ or not has_token():
        return
    os.environ[MODE] = "token"
    if "ray" in sys.modules:
        from ray import _raylet

        _raylet.Config.initialize("")  # type: ignore[attr-defined]


def make_token() -> None:
    """Make this user's token if there is none; Ray's own way lets two that start at once each have another one."""
    if os.environ.get(MODE, "token") != "token" or has_token():
        return
    file = Path.home() / TOKEN_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    beside.touch(mode=0o600)
    beside.write_text(secrets.token_hex(TOKEN_BYTES))
    with suppress(FileExistsError):
        os.link(beside, file)
    beside.unlink()


def has_token() -> bool:
    """Say whether Ray would find a token."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or (Path.home() / TOKEN_FILE).exists()
