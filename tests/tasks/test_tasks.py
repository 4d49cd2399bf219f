"""What holds for every task that there is."""

import gzip
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.tasks import TASKS

NOT_TEXT = b"\x81\x00" * 40
CUT = gzip.compress(b"no table at all\n" * 200)[:-12]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    ("file", "data"),
    [("a.tsv", b""), ("a.tsv", b"\n"), ("a.tsv", NOT_TEXT), ("a.tsv.gz", CUT), ("a.tsv", b"{\n"), ("a.tsv", b"word\n")],
    ids=["empty", "an empty line", "not text", "cut", "broken JSON", "one word"],
)
def test_a_file_that_is_no_task_is_named_in_one_sentence(tmp_path: Path, name: str, file: str, data: bytes) -> None:
    (tmp_path / file).write_bytes(data)
    with pytest.raises(DataError, match=rf"/{file}: .*[a-z]") as caught:
        list(TASKS[name].read(tmp_path / file))
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(f"{tmp_path / file}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TASKS)
def test_a_place_without_files_is_a_wrong_setting(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        TASKS[name].files(tmp_path / "nowhere")


def test_every_task_says_what_it_asks() -> None:
    assert all(task.question for task in TASKS.values())
    assert all(len(task.labels) == task.choices for task in TASKS.values() if task.kind == "choose")
