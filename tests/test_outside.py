import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import FinetuneConfig, Recipe
from pipeline.core.errors import ConfigError
from pipeline.core.files import Digests
from pipeline.outside import Describe, corpus_files, locate, task_files

SAMPLE = "package:gensim/test/test_data/pang_lee_polarity.cor"


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    return Digests(tmp_path / "no store" / "digests.jsonl").describe


def recipe(*sources: dict[str, Any]) -> Recipe:
    return Recipe.model_validate({"corpus": {"sources": sources}})


def written(path: Path, text: str = "text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_each_source_is_described_under_its_number(tmp_path: Path, describe: Describe) -> None:
    for name in ("books/b.txt", "books/a.txt", "books/.hidden.txt", "notes/n.txt"):
        written(tmp_path / name, name)
    found = corpus_files(
        recipe({"kind": "books", "path": str(tmp_path / "books")}, {"path": str(tmp_path / "notes" / "*.txt")}),
        describe,
    )
    assert {role: [file.name for file in files] for role, files in found.items()} == {
        "sources.0": ["a.txt", "b.txt"],
        "sources.1": ["n.txt"],
    }
    assert found["sources.1"][0].sha256 == hashlib.sha256(b"notes/n.txt").hexdigest()


def test_the_splits_of_a_task_are_its_roles(tmp_path: Path, describe: Describe) -> None:
    for split in ("train", "dev", "test"):
        written(tmp_path / f"{split}.tsv")
    found = task_files(0, FinetuneConfig(task="rte", path=str(tmp_path)), describe)
    assert {role: [file.name for file in files] for role, files in found.items()} == {
        "train": ["train.tsv"],
        "dev": ["dev.tsv"],
        "test": ["test.tsv"],
    }


def test_a_path_into_a_package_is_found_and_the_package_not_imported(describe: Describe) -> None:
    import sys

    path = locate(SAMPLE)
    if not path.is_file():
        pytest.skip("gensim is not installed: pip install 'pretrace[sample]'")
    assert "gensim" not in sys.modules
    (file,) = task_files(0, FinetuneConfig(task="polarity", path=SAMPLE), describe)["train"]
    assert file.path == path


def test_home_is_where_the_user_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("~/a.txt") == tmp_path / "a.txt"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", r"is not set; name the file or folder, e\.g\. {setting}=/data/text$"),
        ("/no/such/folder", r"/no/such/folder: no such file or folder"),
        (
            "package:nosuchpackage/a.txt",
            r"the package nosuchpackage is not installed; run pip install .* nosuchpackage$",
        ),
        ("package:gensim.test/a.txt", r"names no package"),
        ("package:", r"names no package; write package:NAME/inner/path$"),
        ("package:/a.txt", r"names no package"),
        ("package:csv/a.txt", r"the package csv is not installed"),  # a module without a folder
        ("package:json/nope.txt", r".*/json/nope\.txt: no such file or folder"),
    ],
)
def test_what_is_not_there_is_said_by_the_setting_that_names_it(path: str, reason: str, describe: Describe) -> None:
    setting = "recipe.corpus.sources.1.path"
    opening = f"^{setting}: " if not path else f"^{setting}={path}: (?:{path}: )?"
    here = {"path": __file__}
    with pytest.raises(ConfigError, match=opening + reason.format(setting=setting)):
        corpus_files(recipe(here, {"path": path}), describe)


@pytest.mark.parametrize(
    ("task", "make", "reason"),
    [
        ("rte", lambda folder: folder, r"holds no train\.tsv; expected a task's folder in the GLUE layout: a folder"),
        ("rte", lambda folder: folder / "nope", r"holds no train\.tsv"),
        ("polarity", lambda folder: folder, r"no such file; expected one with lines such as __label__pos"),
        ("sst2", lambda folder: "", r"is not set"),
    ],
)
def test_a_task_without_files_is_said_by_its_setting(
    tmp_path: Path, describe: Describe, task: str, make: Callable[[Path], object], reason: str
) -> None:
    path = str(make(tmp_path))
    with pytest.raises(ConfigError, match=rf"^recipe\.finetune\.2\.path(={path})?: (?:{path}: )?{reason}"):
        task_files(2, FinetuneConfig(task=task, path=path), describe)
