"""Copies of a model outside the store, an exported folder or a registered model, held against the store byte for byte."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.export import LICENSE, LINEAGE, files_of, texts_of
from pipeline.core.audit import CHANGED, EXTRA, Checked, Named, Problem, locate, manifest_of
from pipeline.core.errors import AuditError
from pipeline.core.files import json_text, sha256_of
from pipeline.core.store import NOTE, Artifact, Store, files_below
from pipeline.starts import MODELS

REGISTERED = "models:/"
RETOLD = (
    f"is not what its lineage gives: it was changed together with {LINEAGE}, or another version of pretrace wrote it"
)
NOT_ITS = "does not fit the file that it tells of: one of them was changed, or another version of pretrace wrote it"


@dataclass(frozen=True)
class Copy:
    """A folder with copies of a model's files, and the note in it that says of which."""

    title: str
    artifact: str
    """`label/key`"""
    folder: Path
    note: Mapping[str, Any]

    @property
    def texts(self) -> dict[str, str]:
        """The digests that the note has of the files that tell of the model."""
        return dict(self.note.get("files", {}))


def exported(folder: Path, store: Store) -> Copy:
    """Read what an exported folder says it is.

    Raises: AuditError if its note was changed, or names no model of this store.
    """
    note = _note(folder / LINEAGE)
    name = str(note["artifact"])
    if name.partition("/")[0] not in MODELS or not (store.root / name).is_dir():
        raise AuditError(
            f"{folder / LINEAGE}: names {name}, which is no model in run.store={store.root}; it was changed, or the model "
            "was exported from another store: name that with --store"
        )
    return Copy(f"export {folder}", name, folder, note)


def fetched(reference: str, uri: str, store: Store) -> Copy:
    """Fetch a registered model and say which artifact it is, by its tag.

    Raises: ConfigError if there is no such model, or its artifact is not in this store.
    """
    from pipeline.core.tracking import registered

    found = registered(uri, reference)
    name = locate(store, found.key)
    return Copy(reference, name, found.folder, {"artifact": name})


def to_check(store: Store, copy: Copy) -> Checked:
    """Say what digests the copied files have to have, by the manifests of the store, and which files are too many."""
    model = manifest_of(store, copy.artifact)
    tokenizer = manifest_of(store, model["inputs"].get("tokenizer", copy.artifact)) if model else None
    if model is None or tokenizer is None:
        return Checked(copy.title, copy.folder)  # what is wrong there is found anyhow
    note = json_text(copy.note).encode()
    files = [Named(copy.folder / file.name, file.size_bytes, file.sha256) for file in files_of(model, tokenizer)]
    files.append(Named(copy.folder / LINEAGE, len(note), hashlib.sha256(note).hexdigest()))
    known = {file.path for file in files} | {copy.folder / name for name in copy.texts}
    there = [*files_below(copy.folder), *copy.folder.glob(NOTE)]
    extra = [Problem(path, EXTRA) for path in there if path not in known]
    return Checked(copy.title, copy.folder, files, extra)


def check_texts(store: Store, copy: Copy, checked: Checked, *, lineage_proved: bool) -> None:
    """Hold the card and the summary against what the lineage gives, if that is proved, and against the note."""
    found = {name: _digest(copy.folder / name) for name in copy.texts}
    given = _given(store, copy) if lineage_proved else {}
    for name, digest in found.items():
        path = copy.folder / name
        checked.files.append(Named(path, path.stat().st_size if digest else 0, copy.texts[name]))
        checked.problems += _problems(path, digest, copy.texts[name], given.get(name))


def _problems(path: Path, digest: str, noted: str, given: str | None) -> Iterator[Problem]:
    """Say which of file and note stands against the other, or against the lineage."""
    if not digest:
        yield Problem(path, "missing")
    elif digest != noted and digest != given:
        yield Problem(path, CHANGED)
    elif digest != noted:
        yield Problem(path.with_name(LINEAGE), CHANGED)
    elif given is not None and digest != given:
        yield Problem(path, RETOLD)
        yield Problem(path.with_name(LINEAGE), NOT_ITS)


def _given(store: Store, copy: Copy) -> dict[str, str]:
    manifest = manifest_of(store, copy.artifact)
    assert manifest is not None  # it was proved
    texts = texts_of(store, Artifact(store.root / copy.artifact, manifest), copy.note.get("license"))
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def _digest(path: Path) -> str:
    return sha256_of(path) if path.is_file() else ""


def _note(path: Path) -> dict[str, Any]:
    """Read a note that we wrote, every byte of it.

    Raises: AuditError if it is none.
    """
    from flows.card import CARD
    from flows.training_data import SUMMARY

    try:
        text = path.read_bytes()
        note = json.loads(text)
        whole = json_text(note).encode() == text and note.keys() - {"license"} == {"artifact", "files"}
        ours = whole and list(note["files"]) == [CARD, SUMMARY] and LICENSE.fullmatch(note.get("license", "mit"))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        ours = None
    if not ours:
        raise AuditError(f"{path}: {CHANGED}; it does not say which model this is. Export the model again")
    known: dict[str, Any] = note
    return known
