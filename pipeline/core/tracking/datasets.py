"""What a stage is made from, as MLflow shows it: dataset entries with digests, and a table of the source files."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from pipeline.core.fingerprint import canonical
from pipeline.core.store import Artifact, Named
from pipeline.core.tracking.uris import without_passwords

DIGEST_CHARACTERS = 36
"""MLflow's limit for the digest of a dataset; a tag has all of it."""
SOURCE_CHARACTERS = 500


class Given(NamedTuple):
    """One thing that a stage is made from: an artifact, or the files of a source."""

    role: str
    sha256: str
    place: str
    files: int
    size_bytes: int


class Source(NamedTuple):
    """A source file of a stage."""

    role: str
    file: str
    size_bytes: int
    sha256: str


def sources_of(recipe: Mapping[str, Any]) -> list[Source]:
    """List the source files that a recipe names, in order."""
    return [
        Source(role, without_passwords(file["name"]), file["bytes"], file["sha256"])
        for role, files in recipe["sources"].items()
        for file in files
    ]


def table_of(sources: list[Source]) -> str:
    """Write source files as CSV, which MLflow's page draws as a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("source", "file", "bytes", "sha256"))
    writer.writerows(sources)
    return text.getvalue()


def datasets_of(step: Named, inputs: Mapping[str, Artifact]) -> list[Any]:
    """Give a dataset entry for each input and each source."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                name=given.role,
                digest=given.sha256[:DIGEST_CHARACTERS],
                source_type="pretrace",
                source=json.dumps({"uri": given.place}),
                profile=json.dumps({"files": given.files, "bytes": given.size_bytes}),
            ),
            tags=[InputTag("mlflow.data.context", given.role), InputTag("sha256", given.sha256)],
        )
        for given in _given(step, inputs)
    ]


def _given(step: Named, inputs: Mapping[str, Artifact]) -> Iterator[Given]:
    for role, artifact in inputs.items():
        manifest = artifact.manifest
        place = f"{artifact.label}/{artifact.key}"
        yield Given(role, manifest["digest"], place, len(manifest["files"]), artifact.size_bytes)
    for role, files in step.recipe["sources"].items():
        digest = files[0]["sha256"] if len(files) == 1 else sha256(canonical(files).encode()).hexdigest()
        names = without_passwords(", ".join(file["name"] for file in files))[:SOURCE_CHARACTERS]
        yield Given(role, digest, names, len(files), sum(file["bytes"] for file in files))
