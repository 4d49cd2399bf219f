"""What an artifact came from: the walk over manifests, what was paid along it, and where and with what it was made."""

import platform
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.core.files import SourceFile
from pipeline.core.hardware import accelerator
from pipeline.core.store import Artifact, Store
from pipeline.core.tracking import without_passwords

PACKAGES = ("pretrace", "torch", "deepspeed", "ray", "pyarrow", "tokenizers", "mlflow", "prefect", "numpy")
COSTS = ("energy_kwh", "emissions_kg", "duration_s")


def ancestors(artifact: Artifact, store: Store) -> list[Artifact]:
    """List everything that an artifact was made from, itself first, each once."""
    found: dict[str, Artifact] = {}
    waiting = [artifact]
    while waiting:
        here = waiting.pop(0)
        if here.key not in found:
            found[here.key] = here
            waiting += [store.get(reference) for reference in here.manifest["inputs"].values()]
    return list(found.values())


def inherited(cost: Mapping[str, Any], inputs: Iterable[Artifact], store: Store) -> dict[str, float]:
    """Sum what an artifact cost with all that it was made from, each artifact once: `energy_kwh_total`, ..."""
    upstream = {old.key: old for direct in inputs for old in ancestors(direct, store)}
    return {
        f"{name}_total": cost[name] + sum(float(old.manifest["made"][name]) for old in upstream.values())
        for name in COSTS
    }


def provenance(
    sources: Mapping[str, tuple[SourceFile, ...]],
    operator: str | None = None,
    places: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Say where, when and with what an artifact was made; nothing of it names the artifact.

    Nobody is named unless `operator` is given, and nothing of the environment is recorded. `places` says how many workers
    and ranks there were, where they are known.
    """
    return {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "code": _checkout(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "command": [sys.argv[0].rsplit("/", 1)[-1], *map(without_passwords, sys.argv[1:])],
        "sources": {role: [str(file.path) for file in files] for role, files in sources.items()},
        "accelerator": accelerator(),
        **({"operator": operator} if operator else {}),
        **({"places": dict(places)} if places else {}),
    }


def _checkout() -> dict[str, Any] | None:
    """Tell the git commit of this package and whether files differ from it; None where it is no part of a checkout."""
    here = Path(__file__)
    try:
        _git(
            here, "ls-files", "--error-unmatch", here.name
        )  # a package installed below some checkout is none of its files
        return {"commit": _git(here, "rev-parse", "HEAD"), "changed": bool(_git(here, "status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(file: Path, *arguments: str) -> str:
    command = ["git", "-C", str(file.parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
