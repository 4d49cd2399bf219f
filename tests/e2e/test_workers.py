"""Where the data are made is no part of what they become."""

from pathlib import Path

from pipeline.config import load
from pipeline.core.progress import Quiet
from pipeline.core.stage import materialize
from pipeline.core.store import Store
from tests.core.places import InTurn, Unrecorded
from tests.e2e.conftest import Project

DATA = ("corpus", "tokenizer", "examples-64")


def test_one_process_and_two_workers_of_ray_give_the_same_bytes(
    project: Project, undisturbed: Path, tmp_path: Path
) -> None:
    store, run = Store(tmp_path / "store").open(), load([project.config]).run
    for step in project.steps(store.root):
        if step.name in DATA:
            materialize(step, store, InTurn(), Unrecorded(), Quiet(), run)
    one, two = project.files(store.root), project.files(undisturbed)  # made with the default of two
    assert {name: one[name] for name in DATA} == {name: two[name] for name in DATA}
    assert all(one[name] for name in DATA)
    assert one["pretrain"] == {}
