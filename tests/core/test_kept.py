"""Plans that begin with what is in the store."""

import shutil
from pathlib import Path

import pytest

from pipeline.core.compute import Facts
from pipeline.core.errors import StoreError
from pipeline.core.kept import kept
from pipeline.core.section import Section
from pipeline.core.stage import Context, Step, stage
from pipeline.core.store import Artifact, Store
from tests.core.test_stage import make


class WordConfig(Section):
    word: str = "a"


@stage(version=3)
def word(cfg: WordConfig, ctx: Context) -> Facts:
    told = [artifact.file("word.txt").read_text() for artifact in ctx.inputs.values()]
    (ctx.out / "word.txt").write_text(cfg.word + "".join(told))
    return {}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").open()


@pytest.fixture
def made(store: Store) -> Artifact:
    artifact, _ = make(Step(word, WordConfig()), store)
    return artifact


def test_an_artifact_is_found_by_its_own_key_and_not_made_again(store: Store, made: Artifact) -> None:
    step = kept(made)
    assert (step.label, step.key) == (made.label, made.key)
    found, again = make(step, store)
    assert (found.path, again) == (made.path, False)


def test_a_step_made_from_it_is_named_as_if_it_had_been_planned(store: Store, made: Artifact) -> None:
    planned = Step(word, WordConfig(word="b"), {"first": Step(word, WordConfig())})
    begun = Step(word, WordConfig(word="b"), {"first": kept(made)})
    assert begun.key == planned.key
    assert make(begun, store)[0].file("word.txt").read_text() == "ba"


def test_one_that_is_gone_is_not_made_anew(store: Store, made: Artifact) -> None:
    step = kept(made)
    shutil.rmtree(made.path)
    with pytest.raises(StoreError, match=f"{made.key}: was in the store when the run was planned and is gone"):
        make(step, store)
