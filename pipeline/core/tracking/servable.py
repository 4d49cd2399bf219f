"""A folder as MLflow serves it: its MLmodel file, a signature, an example, and the model's own files; nothing is a pickle.

Source: MLflow's "MLflow Model format" with the python_function flavour. Written here rather than by `mlflow.pyfunc`, whose
import takes seconds and warns.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.files import write_json
from pipeline.core.store import Artifact

FILES = "model"
"""Where the model's own files lie, below the folder that MLflow keeps."""
EXAMPLE, ASKED = "input_example.json", "serving_input_example.json"
ENVIRONMENT, REQUIREMENTS = "python_env.yaml", "requirements.txt"


@dataclass(frozen=True)
class Candidate:
    """An artifact to be registered: its files, and how MLflow loads and calls what they hold."""

    name: str
    artifact: Artifact
    files: Mapping[str, Path]
    """What lies in the model's folder, and where it lies now."""
    texts: Mapping[str, str]
    """What else is written there."""
    loader: str
    """The module whose `_load_pyfunc` opens the folder."""
    signature: Mapping[str, str]
    """The schemas of inputs, outputs and params, as JSON."""
    example: Mapping[str, Sequence[Any]]
    """Columns of an input."""
    requirements: Sequence[str]
    description: str


def write(folder: Path, model: Candidate, model_id: str) -> None:
    """Write what MLflow reads into an empty folder, with links to the model's own files."""
    flavour = {
        "loader_module": model.loader,
        "data": FILES,
        "python_version": platform.python_version(),
        "env": {"virtualenv": ENVIRONMENT},
    }
    described = {
        "flavors": {"python_function": flavour},
        "model_id": model_id,
        "model_size_bytes": sum(path.stat().st_size for path in model.files.values()),
        "saved_input_example_info": {
            "artifact_path": EXAMPLE,
            "pandas_orient": "split",
            "serving_input_path": ASKED,
            "type": "dataframe",
        },
        "signature": dict(model.signature),
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(described), encoding="utf-8")
    _write_example(folder, model.example)
    _write_environment(folder, model.requirements)
    _write_files(folder / FILES, model)


def _write_example(folder: Path, example: Mapping[str, Sequence[Any]]) -> None:
    split = {"columns": list(example), "data": [list(row) for row in zip(*example.values(), strict=True)]}
    write_json(folder / EXAMPLE, split)
    write_json(folder / ASKED, {"dataframe_split": split})


def _write_environment(folder: Path, requirements: Sequence[str]) -> None:
    environment = {
        "python": platform.python_version(),
        "build_dependencies": ["pip"],
        "dependencies": [f"-r {REQUIREMENTS}"],
    }
    (folder / ENVIRONMENT).write_text(yaml.safe_dump(environment), encoding="utf-8")
    (folder / REQUIREMENTS).write_text("\n".join([*requirements, ""]), encoding="utf-8")


def _write_files(folder: Path, model: Candidate) -> None:
    folder.mkdir()
    for name, path in model.files.items():
        (folder / name).symlink_to(path.resolve())
    for name, text in model.texts.items():
        (folder / name).write_text(text, encoding="utf-8")
