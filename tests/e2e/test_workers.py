"""How many workers make the data is no part of what they make."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Pretrace, Project

DATA = ("corpus", "tokenizer", "examples-64")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_one_worker_and_two_give_the_same_bytes(
    pretrace: Pretrace, project: Project, undisturbed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    done = pretrace("run", project.config, f"run.store={store}", "run.workers=1", "--until", "examples")
    assert done.returncode == 0, done.stderr
    one, two = project.files(store), project.files(undisturbed)  # made with the default of two
    assert {name: one[name] for name in DATA} == {name: two[name] for name in DATA}
    assert all(one[name] for name in DATA)
    assert one["pretrain"] == {}
