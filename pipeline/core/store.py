"""The store: one folder an artifact, named by its recipe; a manifest, written last, makes it real.

root/store.json                      which format this store has
root/<label>/<key>/manifest.json     the commit point; without it the folder is a draft, kept for the next attempt
root/<label>/<key>/.work/            a draft's scratch: checkpoints, journals, attempts; gone after commit
root/locks/<label>-<key>             held by flock while an artifact is made, so that kill -9 frees it
root/locks/gc                        shared by all that make, held alone while pieces are cleared away
root/locks/ranks-<n>                 held while ranks run: `run.max_concurrent_pretrains` of them
root/pieces/<stage>/<key>/           finished items of maps, shared by all artifacts
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.core.arrow import rows_of
from pipeline.core.errors import BusyError, ConfigError, StoreError
from pipeline.core.files import read_json, sha256_of, sync_folder, write_json
from pipeline.core.fingerprint import differences
from pipeline.core.locks import free, share
from pipeline.core.turns import holder, take

FORMAT = 1
NOTE = "manifest.json"
WORK = ".work"
RECORD = "mlflow.json"
"""A file in a draft's scratch that says which run has its record."""
STOP = "stop"
"""A file in a draft's scratch that asks its ranks for a checkpoint and an end."""
Manifest = dict[str, Any]


class Named(Protocol):
    """What has a place in the store: a step."""

    @property
    def label(self) -> str:
        """The folder of its kind."""

    @property
    def name(self) -> str:
        """What people call it: the label, and what tells it from others of the same label."""

    @property
    def recipe(self) -> dict[str, Any]:
        """The plain data that name it."""

    @property
    def key(self) -> str:
        """The key of its recipe."""


@dataclass(frozen=True)
class Artifact:
    """A committed artifact: its folder and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def label(self) -> str:
        """The folder of its kind: `corpus`, `tokenizer`, ..."""
        return self.path.parent.name

    @property
    def key(self) -> str:
        """Its name: 12 hex digits."""
        return self.path.name

    def file(self, name: str) -> Path:
        """Give the path of one of its files.

        Raises: StoreError if the manifest names no such file.
        """
        if not any(entry["name"] == name for entry in self.manifest["files"]):
            raise StoreError(f"{self.path}: has no file {name}; it was made by another version")
        return self.path / name

    def names(self, folder: str) -> list[str]:
        """List the files below one of its folders, in order."""
        names = [str(entry["name"]) for entry in self.manifest["files"]]
        return sorted(name for name in names if name.startswith(f"{folder}/"))

    def sha256(self, name: str) -> str:
        """Give the digest of one of its files, from the manifest."""
        return next(str(entry["sha256"]) for entry in self.manifest["files"] if entry["name"] == name)

    @property
    def settled(self) -> bool:
        """Whether its scratch is gone: it is kept until all of the record was sent."""
        return not (self.path / WORK).exists()

    @property
    def size_bytes(self) -> int:
        """The bytes of all its files."""
        return sum(int(entry["bytes"]) for entry in self.manifest["files"])


class Store:
    """All artifacts below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> "Store":
        """Make the store's folder, or check that this version can use the one that is there.

        Raises: StoreError if it was made by another version or cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if not (self.root / "store.json").exists():
                write_json(self.root / "store.json", {"format": FORMAT})
            if not os.access(self.root, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise StoreError(
                f"run.store={self.root}: cannot be written ({error.strerror}); name another folder"
            ) from error
        return self.check()

    def check(self) -> "Store":
        """Check the format of a store that is there.

        Raises: StoreError if it was made by another version.
        """
        note = self.root / "store.json"
        try:
            found = read_json(note)["format"] if note.exists() else FORMAT
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(f"{note}: is not what was written ({error!r}); name a store, or mend the file") from error
        if found != FORMAT:
            raise StoreError(
                f"run.store={self.root}: has format {found} and this version reads format {FORMAT}; "
                "name a new folder or use the version that made it"
            )
        return self

    def folder(self, step: Named) -> Path:
        """Say where a step's artifact is or will be."""
        return self.root / step.label / step.key

    def find(self, step: Named) -> Artifact | None:
        """Find a step's artifact if it is committed."""
        return _committed(self.folder(step))

    def get(self, reference: str) -> Artifact:
        """Find an artifact by key, or by the beginning of one if only one begins so; `label/key` works as well.

        Raises: ConfigError if there is none or more than one.
        """
        wanted = reference.rsplit("/", 1)[-1]
        found = [artifact for artifact in self.all() if artifact.key.startswith(wanted)] if wanted else []
        if len(found) == 1:
            return found[0]
        keys = ", ".join(f"{artifact.label}/{artifact.key}" for artifact in found or self.all()) or "nothing yet"
        problem = "names several artifacts" if found else "names no artifact"
        raise ConfigError(f"{reference}: {problem} in run.store={self.root}, which holds {keys}")

    def all(self, label: str = "*") -> list[Artifact]:
        """List the committed artifacts, oldest first."""
        if "/" in label:
            return []
        paths = [path.parent for path in self.root.glob(f"{label}/*/manifest.json")]
        found = [artifact for path in paths if (artifact := _committed(path))]
        return sorted(found, key=lambda artifact: (artifact.manifest["made"]["at"], artifact.key))

    @contextmanager
    def making(self, step: Named) -> Iterator[Path]:
        """Hold the right to make an artifact and give its draft folder, with what an earlier attempt left in it.

        Raises: BusyError if another process holds it.
        """
        lock = self._lock(step)
        lock.parent.mkdir(parents=True, exist_ok=True)
        with self._clearing.open("a") as shared, lock.open("a+", encoding="utf-8") as handle:
            share(shared)
            if not take(handle):
                raise BusyError(
                    f"{step.label}/{step.key}: is being made by another process ({holder(lock)}); wait for it, or end "
                    "it, and run again"
                )
            draft = self.folder(step)
            (draft / WORK).mkdir(parents=True, exist_ok=True)
            yield draft

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep everybody from making anything.

        Raises: BusyError if something is being made.
        """
        self._clearing.parent.mkdir(parents=True, exist_ok=True)
        with self._clearing.open("a+", encoding="utf-8") as handle:
            if not take(handle, "gc"):
                raise BusyError(f"run.store={self.root}: {self._busy()}; wait for it, or end it, and run again")
            yield

    def _busy(self) -> str:
        """Say what is being made, and by whom."""
        for lock in sorted((self.root / "locks").glob("*-*")):
            with lock.open(encoding="utf-8") as handle:
                if not free(handle):
                    return f"{lock.name} is being made ({holder(lock)})"
        return "is in use"

    @property
    def _clearing(self) -> Path:
        return self.root / "locks" / "gc"

    def maker(self, step: Named) -> str:
        """Say who makes an artifact, or made it last: pid 17 on host h1."""
        return holder(self._lock(step))

    def _lock(self, step: Named) -> Path:
        return self.root / "locks" / f"{step.label}-{step.key}"

    def commit(self, step: Named, facts: Mapping[str, Any], made: Mapping[str, Any]) -> Artifact:
        """Turn a draft into an artifact: hash its files, write the manifest last."""
        folder = self.folder(step)
        files = [_describe(folder, path) for path in files_below(folder)]
        manifest = {
            **step.recipe,
            "label": step.label,
            "key": step.key,
            "files": files,
            "facts": dict(facts),
            "made": dict(made),
        }
        manifest["digest"] = digest_of(manifest)
        write_json(folder / NOTE, manifest)
        sync_folder(folder)
        return Artifact(folder, manifest)

    def tidy(self, artifact: Artifact) -> None:
        """Drop the scratch of an artifact: checkpoints, journals, attempts; last of all which record it has."""
        for path in (artifact.path / WORK).glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != RECORD:
                with suppress(OSError):
                    path.unlink()
        shutil.rmtree(artifact.path / WORK, ignore_errors=True)

    def why(self, step: Named) -> dict[str, tuple[Any, Any]]:
        """Say in what a step differs from the nearest committed artifact of its label: {"config.seed": (0, 7)}.

        Empty if it is there; everything if there is none.
        """
        if self.find(step):
            return {}
        others = [recipe_of(artifact.manifest) for artifact in self.all(step.label)]
        return min((differences(other, step.recipe) for other in others or [{}]), key=len)

    def gc(self) -> int:
        """Remove pieces that no artifact shares a file with; returns the bytes freed. Not while anything runs."""
        freed = 0
        for note in self.root.glob("pieces/*/*/piece.json"):
            files = [path for path in note.parent.rglob("*") if path.is_file() and path != note]
            if all(path.stat().st_nlink == 1 for path in files):
                freed += sum(path.stat().st_size for path in files)
                shutil.rmtree(note.parent)
        return freed


def digest_of(manifest: Manifest) -> str:
    """Hash a manifest without its own digest: 64 hex digits."""
    plain = {name: value for name, value in manifest.items() if name != "digest"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def contents_of(manifest: Manifest) -> str:
    """Hash what an artifact holds, whenever and wherever it was made: its recipe and its files; 64 hex digits."""
    plain = {"recipe": recipe_of(manifest), "files": manifest["files"]}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def recipe_of(manifest: Manifest) -> dict[str, Any]:
    """Give the part of a manifest that names the artifact."""
    return {name: manifest[name] for name in ("stage", "version", "config", "inputs", "sources")}


def files_below(folder: Path) -> list[Path]:
    """List the files of an artifact's folder that a manifest has to name, in order: not itself, scratch or hidden ones."""
    return [path for path in sorted(folder.rglob("*")) if _belongs(folder, path)]


def _committed(folder: Path) -> Artifact | None:
    note = folder / NOTE
    return Artifact(folder, read_json(note)) if note.exists() else None


def _belongs(folder: Path, path: Path) -> bool:
    parts = path.relative_to(folder).parts
    return path.is_file() and parts[0] != WORK and parts != (NOTE,) and not path.name.startswith(".")


def _describe(folder: Path, path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size}
    rows = rows_of(path)
    return {**entry, **({} if rows is None else {"rows": rows}), "sha256": sha256_of(path)}
