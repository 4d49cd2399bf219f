"""Models as MLflow serves them: an artifact becomes a version of a registered model, named by its key and linked to its run.

Nothing in it is a pickle: MLflow loads the files through a module of ours.
"""

import atexit
import os
import re
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from pipeline.core.errors import ConfigError
from pipeline.core.store import Artifact
from pipeline.core.tracking.client import connect, missing, trouble
from pipeline.core.tracking.notes import Place
from pipeline.core.tracking.servable import FILES, Candidate, write
from pipeline.core.tracking.uris import reason_of, without_passwords

ALIAS = "candidate"
KEY = "pretrace.key"
PREFIX = "models:/"
REFERENCE = re.compile(r"models:/([^/@]+)(?:@([^/@]+)|/([0-9]+))")


@dataclass(frozen=True)
class Registered:
    """A registered model version: the key of the artifact that it is, and a folder with its files."""

    key: str
    folder: Path


def register(client: Any, place: Place, model: Candidate) -> str:
    """Give a model the alias `candidate`, as a new version unless there is one of the same artifact; returns the version."""
    version = _version(client, model) or _create(client, place, model)
    client.set_registered_model_alias(model.name, ALIAS, version)
    return version


def registered(uri: str, reference: str, into: Path | None = None) -> Registered:
    """Find a registered model by `models:/NAME@alias` or `models:/NAME/3` and fetch its files.

    They are fetched into a new folder below `into`, or one that goes with this process; a record on this machine's disk
    is read where it is.

    Raises: ConfigError if there is none, it is none of ours, or nothing answers.
    """
    shown = f"{reference} at {without_passwords(uri)}"
    try:
        client = connect(uri)
        version = _named(client, reference)
        key = version.tags.get(KEY)
        if not key:
            raise ConfigError(f"{shown}: is no model of pretrace, it has no tag {KEY}; name another")
        source = client.get_model_version_download_uri(version.name, version.version)
        return Registered(key, _fetched(client, source, into) / FILES)
    except trouble() as error:
        raise ConfigError(f"{shown}: cannot be fetched ({reason_of(error)}); name a model that is there") from error


def _named(client: Any, reference: str) -> Any:
    """Find a version.

    Raises: ConfigError if the reference is not written as one.
    """
    found = REFERENCE.fullmatch(reference)
    if not found:
        raise ConfigError(f"{reference}: names no registered model; write models:/NAME@{ALIAS} or models:/NAME/3")
    name, alias, version = found.groups()
    return client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)


def _fetched(client: Any, source: str, into: Path | None) -> Path:
    """Give a folder with a logged model's files."""
    if source.startswith(PREFIX):
        source = client.get_logged_model(source.removeprefix(PREFIX)).artifact_location
    if here := _local(source):
        return here
    from mlflow.artifacts import download_artifacts

    folder = tempfile.mkdtemp(prefix="pretrace-model-", dir=into)
    if into is None:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(download_artifacts(source, dst_path=folder, tracking_uri=client.tracking_uri))


def _version(client: Any, model: Candidate) -> str | None:
    """Find the version that is this artifact already."""
    found = client.search_model_versions(f"name = '{model.name}' and tags.`{KEY}` = '{model.artifact.key}'")
    return str(found[0].version) if found else None


def _create(client: Any, place: Place, model: Candidate) -> str:
    """Log the model under the run that made it, then name it: a version exists only when all its files do."""
    tags = _tags(model.artifact)
    logged = client.create_logged_model(
        place.experiment_id, name=model.name, source_run_id=place.run_id, tags=tags, model_type=model.artifact.label
    )
    status = "FAILED"
    try:
        with tempfile.TemporaryDirectory(prefix="pretrace-model-") as folder:
            write(Path(folder), model, logged.model_id)
            _put(client, logged, Path(folder))
        status = "READY"
    finally:
        client.finalize_logged_model(logged.model_id, status)
    _output(client, place.run_id, logged.model_id)
    with suppress(missing()):  # it is there, or the next call says what is wrong
        client.create_registered_model(model.name, description=f"Models of the recipe {model.name}.")
    version = client.create_model_version(
        model.name,
        source=f"{PREFIX}{logged.model_id}" if _served(client) else logged.artifact_location,
        run_id=place.run_id,
        tags=tags,
        description=model.description,
        model_id=logged.model_id,
    )
    return str(version.version)


def _tags(artifact: Artifact) -> dict[str, str]:
    digest = str(artifact.manifest["digest"])
    return {KEY: artifact.key, "pretrace.label": artifact.label, "pretrace.digest": digest}


def _served(client: Any) -> bool:
    """Say whether a server answers: without one, MLflow looks a logged model up in whatever record is its default."""
    return str(client.tracking_uri).startswith(("http:", "https:"))


def _output(client: Any, run_id: str, model_id: str) -> None:
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(run_id, models=[LoggedModelOutput(model_id, step=0)])


def _put(client: Any, logged: Any, folder: Path) -> None:
    """Hand the files over: on this machine's disk as hard links, so that no weights lie there twice; else by uploading."""
    here = _local(logged.artifact_location)
    if not here:
        client.log_model_artifacts(logged.model_id, str(folder))
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            target = here / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(path.resolve(), target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _local(location: str) -> Path | None:
    """Give the folder of a location on this machine's disk."""
    parts = urlparse(location)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(location) if not parts.scheme and location.startswith("/") else None
