"""`pretrace export` and `fill`: a model with its tokenizer, out of the store; a note in the folder says where it is from."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import ConfigError
from pipeline.core.files import write_json
from pipeline.core.store import Artifact, Manifest, Store

MODELS = ("pretrain", "finetune")
WEIGHTS = ("config.json", "model.safetensors")
LINEAGE = "pretrace.json"
"""Which artifact an exported folder is of: `pretrace audit` reads it."""


def model_files(store: Store, artifact: Artifact) -> tuple[Path, Path]:
    """Find a model's folder and that of its tokenizer.

    Raises: ConfigError if the artifact is no model.
    """
    if artifact.label not in MODELS:
        models = [f"{model.label}/{model.key}" for label in MODELS for model in store.all(label)]
        raise ConfigError(
            f"{artifact.label}/{artifact.key}: is not a model; models are {', '.join(models) or 'not made yet'}"
        )
    return artifact.path, store.get(artifact.manifest["inputs"]["tokenizer"]).path


def export_model(store: Store, artifact: Artifact, folder: Path) -> list[str]:
    """Write weights, config and tokenizer into a new folder; returns the names of the files.

    Raises: ConfigError if the folder has something in it already, or cannot be written.
    """
    _, vocabulary = model_files(store, artifact)
    tokenizer = store.get(artifact.manifest["inputs"]["tokenizer"])
    files = files_of(artifact.manifest, tokenizer.manifest)
    paths = [(artifact.path if file.name in WEIGHTS else vocabulary) / file.name for file in files]
    try:
        _copy(paths, folder)
        write_json(folder / LINEAGE, {"artifact": f"{artifact.label}/{artifact.key}"})
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); name a new folder") from error
    return [*(file.name for file in files), LINEAGE]


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
