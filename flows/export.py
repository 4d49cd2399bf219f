"""`pretrace export` and `fill`: a model with its tokenizer, out of the store, and what there is to tell of it.

pretrace.json      which artifact it is, and the digests of the two files that follow: `pretrace audit` reads it
README.md          the model card
TRAINING_DATA.md   the summary of what it was trained on
"""

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import ConfigError
from pipeline.core.files import json_text
from pipeline.core.store import Artifact, Manifest, Store
from pipeline.starts import MODELS

WEIGHTS = ("config.json", "model.safetensors")
LINEAGE = "pretrace.json"
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def model_files(store: Store, artifact: Artifact) -> tuple[Path, Path]:
    """Find a model's folder and that of its tokenizer.

    Raises: ConfigError if the artifact is no model.
    """
    if artifact.label not in MODELS:
        models = [f"{model.label}/{model.key}" for label in MODELS for model in store.all(label)]
        raise ConfigError(
            f"{artifact.label}/{artifact.key}: is not a model; models are {', '.join(models) or 'not made yet'}"
        )
    return artifact.path, vocabulary_of(store, artifact).path


def vocabulary_of(store: Store, model: Artifact) -> Artifact:
    """Give the tokenizer of a model; one made elsewhere has it beside its weights."""
    reference = model.manifest["inputs"].get("tokenizer")
    return store.get(reference) if reference else model


def export_model(store: Store, artifact: Artifact, folder: Path, license_id: str | None = None) -> list[str]:
    """Write weights, config, tokenizer, model card and summary into a new folder; returns the names of the files.

    Raises: ConfigError if the folder has something in it already or cannot be written, or the licence is no name of one.
    """
    _, vocabulary = model_files(store, artifact)
    files = files_of(artifact.manifest, vocabulary_of(store, artifact).manifest)
    paths = [(artifact.path if file.name in WEIGHTS else vocabulary) / file.name for file in files]
    texts = texts_of(store, artifact, license_id)
    texts[LINEAGE] = note_of(artifact, texts, license_id)
    try:
        _copy(paths, folder)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); name a new folder") from error
    return [*(file.name for file in files), *texts]


def texts_of(store: Store, artifact: Artifact, license_id: str | None) -> dict[str, str]:
    """Write what is told of a model, by the name of the file; the same lineage and licence give the same bytes.

    Raises: ConfigError if the licence is no name of one, or a part of the lineage is not in the store.
    """
    from flows.card import CARD, model_card
    from flows.origins import origins_of
    from flows.training_data import SUMMARY, training_data

    if license_id is not None and not LICENSE.fullmatch(license_id):
        raise ConfigError(
            f"--license {license_id}: is no name of a licence; write it as Hugging Face does, such as apache-2.0 or mit"
        )
    origins = origins_of(store, artifact)
    return {CARD: model_card(origins, license_id), SUMMARY: training_data(origins)}


def note_of(artifact: Artifact, texts: Mapping[str, str], license_id: str | None) -> str:
    """Write the note that says which artifact a folder is of."""
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    licence = {"license": license_id} if license_id else {}
    return json_text({"artifact": f"{artifact.label}/{artifact.key}", **licence, "files": digests})


class Copied(NamedTuple):
    """A file of an exported folder."""

    name: str
    size_bytes: int
    sha256: str


def files_of(model: Manifest, tokenizer: Manifest) -> list[Copied]:
    """List what is exported of a model and its tokenizer, given by their manifests."""
    pieces = [
        entry for entry in tokenizer["files"] if entry["name"] not in WEIGHTS
    ]  # one adopted has a model beside it
    entries = [entry for entry in model["files"] if entry["name"] in WEIGHTS] + pieces
    return [Copied(entry["name"], entry["bytes"], entry["sha256"]) for entry in entries]


def _copy(files: Sequence[Path], folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: is not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
