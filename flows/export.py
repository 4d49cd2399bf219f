"""`pretrace export` and `fill`: a model with its tokenizer, out of the store."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.core.store import Artifact, Store

MODELS = ("pretrain", "finetune")
WEIGHTS = ("config.json", "model.safetensors")


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
    weights, vocabulary = model_files(store, artifact)
    tokenizer = store.get(artifact.manifest["inputs"]["tokenizer"])
    files = [weights / name for name in WEIGHTS] + [vocabulary / entry["name"] for entry in tokenizer.manifest["files"]]
    try:
        _copy(files, folder)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); name a new folder") from error
    return [file.name for file in files]


def _copy(files: Sequence[Path], folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: is not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
