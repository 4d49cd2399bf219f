"""An audit: every byte that an artifact was made of, hashed again, down to the files from outside.

What holds when nothing is found: each manifest fits its own digest, is written as we write, and lies under the key of
its recipe; its files are those that it names, no more and no fewer (hidden ones are not looked at); each input is the one
that it was made from, by the digest of contents noted then; each file from outside has the digest that is in the recipe. Nothing vouches for the
manifest of the artifact that is asked about: whoever rewrites all of it, digest and all, has to be kept from it otherwise.
"""

import glob
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.core.files import json_text, sha256_of
from pipeline.core.fingerprint import key_of
from pipeline.core.store import NOTE, Manifest, Store, contents_of, digest_of, files_below, recipe_of

MISSING, CHANGED, EXTRA = "missing", "changed", "extra"


@dataclass(frozen=True)
class Problem:
    """A file that is not what it has to be, and why not."""

    path: Path
    what: str


@dataclass(frozen=True)
class Named:
    """A file, and the digest that it has to have."""

    path: Path
    size_bytes: int
    sha256: str

    def problem(self) -> Problem | None:
        """Read it and hold it against its digest."""
        try:
            same = self.path.stat().st_size == self.size_bytes and sha256_of(self.path) == self.sha256
        except FileNotFoundError:
            return Problem(self.path, MISSING)
        except OSError as error:
            return Problem(self.path, f"cannot be read ({error.strerror})")
        return None if same else Problem(self.path, CHANGED)


@dataclass
class Checked:
    """What was found of one artifact, of the files from outside that one was made of, or of copies of files."""

    name: str
    folder: Path | None
    files: list[Named] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "name": self.name,
            "folder": str(self.folder) if self.folder else None,
            "files": len(self.files),
            "bytes": sum(file.size_bytes for file in self.files),
            "problems": [{"path": str(problem.path), "what": problem.what} for problem in self.problems],
        }


Show = Callable[[int, int], None]
"""Is told how many bytes of how many were hashed."""


def locate(store: Store, reference: str) -> str:
    """Find the `label/key` that a key, or the beginning of one, names; manifests are not believed, nor even read.

    Raises: ConfigError if it names none, or several.
    """
    label, _, wanted = reference.rpartition("/")
    below = f"{glob.escape(label) or '*'}/{glob.escape(wanted)}*/{NOTE}"
    notes = () if "/" in reference.removesuffix(f"/{wanted}") else store.root.glob(below)  # a path names nothing
    found = sorted(f"{note.parent.parent.name}/{note.parent.name}" for note in notes)
    if not wanted or len(found) != 1:
        problem = f"names several artifacts ({', '.join(found)})" if wanted and found else "names no artifact"
        raise ConfigError(f"{reference}: {problem} in run.store={store.root}; pretrace show lists them")
    return found[0]


def audit(store: Store, name: str, show: Show, others: Iterable[Checked] = ()) -> list[Checked]:
    """Check an artifact, named `label/key`, and everything it was made from; and other files, such as copies."""
    checked = [*_lineage(store, name), *others]
    _hash_all([(one, file) for one in checked for file in one.files], show)
    return checked


def manifest_of(store: Store, name: str) -> Manifest | None:
    """Read the manifest of an artifact, if it is whole."""
    manifest, problem = _manifest(store.root / name, name)
    return None if problem else manifest


def _hash_all(files: Sequence[tuple[Checked, Named]], show: Show) -> None:
    """Hash files side by side, and note their problems in order."""
    total = sum(file.size_bytes for _, file in files)
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (one, file), problem in zip(files, pool.map(lambda pair: pair[1].problem(), files), strict=True):
            if problem:
                one.problems.append(problem)
            done += file.size_bytes
            show(done, total)


def _lineage(store: Store, name: str) -> Iterator[Checked]:
    """Walk from an artifact to all that it was made from, each once, and to the files from outside."""
    manifests: dict[str, Manifest] = {}
    notes: dict[str, Checked] = {}
    waiting = [name]
    while waiting:
        here = waiting.pop(0)
        if here in notes:
            continue
        notes[here] = Checked(here, store.root / here)
        manifest, problem = _manifest(store.root / here, here)
        if problem:
            notes[here].problems.append(problem)
            continue
        manifests[here] = manifest
        notes[here].files += _files(store.root / here, manifest)
        notes[here].problems += _extra(store.root / here, manifest)
        waiting += manifest["inputs"].values()
    for maker, manifest in manifests.items():
        for used, problem in _exchanged(store, maker, manifest, manifests):
            notes[used].problems.append(problem)
    yield from notes.values()
    yield from (_outside(made, manifest) for made, manifest in manifests.items() if manifest["sources"])


def _manifest(folder: Path, name: str) -> tuple[Manifest, Problem | None]:
    """Read a manifest; an empty one where it is not whole, and why."""
    path = folder / NOTE
    try:
        text = path.read_bytes()
        manifest = json.loads(text)
        whole = json_text(manifest).encode() == text and manifest["digest"] == digest_of(manifest)
        named = whole and f"{manifest['label']}/{key_of(recipe_of(manifest))}" == name
    except FileNotFoundError:
        return {}, Problem(path, MISSING)
    except OSError as error:
        return {}, Problem(path, f"cannot be read ({error.strerror})")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ConfigError):
        return {}, Problem(path, f"{CHANGED}; what it names cannot be checked")
    if not whole:
        return {}, Problem(path, f"{CHANGED}; what it names cannot be checked")
    return (manifest, None) if named else ({}, Problem(path, "is the manifest of another artifact"))


def _files(folder: Path, manifest: Manifest) -> Iterator[Named]:
    for entry in manifest["files"]:
        yield Named(folder / entry["name"], entry["bytes"], entry["sha256"])


def _extra(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    named = {entry["name"] for entry in manifest["files"]}
    for path in files_below(folder):
        if path.relative_to(folder).as_posix() not in named:
            yield Problem(path, EXTRA)


def _exchanged(
    store: Store, maker: str, manifest: Manifest, manifests: Mapping[str, Manifest]
) -> Iterator[tuple[str, Problem]]:
    """Name the inputs that are whole and were made by the same recipe, but are not what was read."""
    noted = manifest["made"].get("inputs", {})
    for role, used in manifest["inputs"].items():
        if role in noted and used in manifests and contents_of(manifests[used]) != noted[role]:
            yield used, Problem(store.root / used / NOTE, f"is not the one that {maker} was made from")


def _outside(maker: str, manifest: Manifest) -> Checked:
    """List the files from outside with where they lay when they were read."""
    places: dict[str, list[str]] = manifest["made"].get("sources", {})
    roles: Iterable[tuple[str, list[dict[str, Any]]]] = manifest["sources"].items()
    files = [
        Named(Path(path), entry["bytes"], entry["sha256"])
        for role, entries in roles
        for entry, path in zip(entries, places.get(role) or [entry["name"] for entry in entries], strict=True)
    ]
    return Checked(f"sources of {maker}", None, files)
