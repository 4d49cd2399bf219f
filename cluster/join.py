"""Joining a Ray cluster that is already there, with its token."""

import logging
import os
import sys
from pathlib import Path

from pipeline.core.errors import ComputeError

MODE = "RAY_AUTH_MODE"
TOKEN_FILE = Path(".ray") / "auth_token"


def join(address: str, env: dict[str, str]) -> None:
    """Connect this process to the cluster at `host:port`, with `env` in the environment of every worker.

    Raises: ComputeError if nothing answers there, or it does not take our token.
    """
    use_token()
    import ray

    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": env})
    except ray.exceptions.AuthenticationError as error:
        raise ComputeError(
            f"run.ray_address={address}: the cluster does not take this host's token; "
            f"copy ~/{TOKEN_FILE} from the head, or set RAY_AUTH_TOKEN"
        ) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ComputeError(
            f"run.ray_address={address}: {error}; start Ray on this host, too: ray start --address={address}"
        ) from error


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


def has_token() -> bool:
    """Say whether Ray would find a token."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or (Path.home() / TOKEN_FILE).exists()
