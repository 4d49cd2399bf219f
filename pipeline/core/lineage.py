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

from pipeline.core.compute import Piece
from pipeline.core.energy import spent
from pipeline.core.files import SourceFile, read_json
from pipeline.core.hardware import accelerator
from pipeline.core.store import NOTE, WORK, Artifact, Store
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
    """Sum what an artifact cost with all that it was made from, each artifact once: `energy_kwh_total`, ...

    With `reused`: what pieces cost that were found made.
    """
    upstream = {old.key: old for direct in inputs for old in ancestors(direct, store)}
    paid = [cost, *(old.manifest["made"] for old in upstream.values())]
    return {f"{name}_total": sum(paid_for(one, name) for one in paid) for name in COSTS}


def paid_for(made: Mapping[str, Any], name: str) -> float:
    """Give a cost of an artifact with that of the pieces which it found made."""
    return float(made.get(name, 0.0)) + float(made.get("reused", {}).get(name, 0.0))


def shared(pieces: Iterable[Piece], own: str, inputs: Iterable[Artifact], store: Store) -> dict[str, Any]:
    """Say what the pieces cost of which an artifact, `label/key`, is put together.

    `piece_seconds` is what making took of those that were made for it. `reused` is the cost of the others, where there are
    any: of what their makers spent, the share of the time. Makers that the artifact is made from anyway are left out; those
    that are gone with their journals are in `from` and cost nothing.
    """
    by_maker: dict[str, list[float]] = {}
    for piece in {piece.path: piece for piece in pieces}.values():
        by_maker.setdefault(piece.maker, []).append(piece.seconds)
    told: dict[str, Any] = {"piece_seconds": round(sum(by_maker.pop(own, [])), 3)}
    known = {"", *(f"{old.label}/{old.key}" for direct in inputs for old in ancestors(direct, store))}
    others = {maker: seconds for maker, seconds in sorted(by_maker.items()) if maker not in known}
    if not others:
        return told
    shares = [_share(_spent_by(maker, store), sum(seconds)) for maker, seconds in others.items()]
    reused = {name: sum(share[name] for share in shares) for name in COSTS}
    return told | {"reused": {**reused, "from": {maker: len(seconds) for maker, seconds in others.items()}}}


def _spent_by(maker: str, store: Store) -> Mapping[str, Any]:
    """Give what was spent on an artifact, made or only begun."""
    note = store.root / maker / NOTE
    return read_json(note)["made"] if note.exists() else spent(store.root / maker / WORK / "attempts")


def _share(cost: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """Give the share of a cost for some seconds of its pieces, which were made side by side or one after another."""
    busy = max(float(cost["duration_s"]), float(cost.get("piece_seconds", 0.0)))
    share = min(1.0, seconds / busy) if busy else 0.0
    return {name: share * float(cost[name]) for name in COSTS}


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
