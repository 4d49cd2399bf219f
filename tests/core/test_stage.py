import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.core.compute import Facts
from pipeline.core.errors import DataError, StoreError
from pipeline.core.files import Digests
from pipeline.core.progress import Quiet
from pipeline.core.section import Place, Section
from pipeline.core.stage import Context, Step, materialize, stage
from pipeline.core.store import Artifact, Store
from tests.core.places import InTurn, Unrecorded

RUN = SimpleNamespace(country="FRA")


class LetterConfig(Section):
    letter: str = "a"
    path: Place = ""


calls: list[str] = []


@stage(version=1)
def letters(cfg: LetterConfig, ctx: Context) -> Facts:
    calls.append(cfg.letter)
    (ctx.out / "letters.txt").write_text(cfg.letter)
    if cfg.letter == "!":
        raise DataError("letters.txt: no letter")
    if cfg.letter == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    return {"count": 1}


@stage(version=1)
def words(cfg: LetterConfig, ctx: Context) -> Facts:
    text = ctx.inputs["letters"].file("letters.txt").read_text() + cfg.letter
    (ctx.out / "words.txt").write_text(text)
    return {"count": len(text)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    calls.clear()
    return Store(tmp_path / "store").open()


def make(step: Step, store: Store) -> tuple[Artifact, bool]:
    return materialize(step, store, InTurn(), Unrecorded(), Quiet(), RUN)


def test_a_step_is_made_once_and_found_from_then_on(store: Store) -> None:
    step = Step(letters, LetterConfig())
    made = make(step, store)
    found = make(Step(letters, LetterConfig()), store)
    assert (made[1], found[1]) == (True, False)
    assert made[0].path == found[0].path
    assert calls == ["a"]


def test_another_setting_or_version_is_another_artifact() -> None:
    keys = {Step(letters, LetterConfig(letter=letter)).key for letter in "ab"}
    later = Step(stage(version=2)(letters.make), LetterConfig())
    assert len(keys | {later.key}) == 3


def test_a_place_names_nothing_and_the_bytes_there_do(tmp_path: Path) -> None:
    describe = Digests(tmp_path / "none" / "digests.jsonl").describe
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    keys = []
    for folder, text in (("here", "x"), ("there", "x"), ("there", "y")):
        path = tmp_path / folder / "a.txt"
        path.write_text(text)
        keys.append(Step(letters, LetterConfig(path=str(path)), sources={"text": describe([path])}).key)
    assert keys[0] == keys[1]
    assert keys[1] != keys[2]


def test_an_input_that_changes_changes_what_is_made_of_it(store: Store) -> None:
    first = Step(words, LetterConfig(letter="z"), {"letters": Step(letters, LetterConfig(letter="a"))})
    second = Step(words, LetterConfig(letter="z"), {"letters": Step(letters, LetterConfig(letter="b"))})
    assert first.key != second.key
    make(first.inputs["letters"], store)
    artifact, _ = make(first, store)
    assert artifact.file("words.txt").read_text() == "az"
    made = artifact.manifest["made"]
    assert made["duration_s_total"] > made["duration_s"] > 0
    assert made["energy_kwh_total"] > made["energy_kwh"]


def test_a_failed_attempt_is_kept_and_not_taken_for_finished(store: Store) -> None:
    step = Step(letters, LetterConfig(letter="!"))
    with pytest.raises(DataError, match="no letter"):
        make(step, store)
    assert store.find(step) is None
    assert (store.folder(step) / "letters.txt").exists()


def test_the_cost_of_failed_attempts_is_in_the_total(store: Store) -> None:
    def letters(cfg: LetterConfig, ctx: Context) -> Facts:
        if not (ctx.work / "tried").exists():
            (ctx.work / "tried").touch()
            raise DataError("first attempt")
        return {}

    step = Step(stage(version=1)(letters), LetterConfig())
    with pytest.raises(DataError, match="first attempt"):
        make(step, store)
    artifact, _ = make(step, store)
    assert artifact.manifest["made"]["attempts"] == 2


def test_a_full_disk_is_one_sentence(store: Store) -> None:
    with pytest.raises(StoreError, match=r"run\.store=.*the disk is full; free some space"):
        make(Step(letters, LetterConfig(letter="full")), store)


def test_other_failures_of_the_system_stay_what_they_are(store: Store) -> None:
    def letters(cfg: LetterConfig, ctx: Context) -> Facts:
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        make(Step(stage(version=1)(letters), LetterConfig()), store)


def test_a_store_without_permission_is_one_sentence(store: Store) -> None:
    def letters(cfg: LetterConfig, ctx: Context) -> Facts:
        raise OSError(errno.EROFS, "Read-only file system")

    with pytest.raises(StoreError, match=r"cannot be written \(Read-only file system\)"):
        make(Step(stage(version=1)(letters), LetterConfig()), store)


def test_a_manifest_says_where_and_with_what_it_was_made(store: Store) -> None:
    made: dict[str, Any] = make(Step(letters, LetterConfig()), store)[0].manifest["made"]
    assert {"at", "host", "python", "packages", "command", "sources", "tracking"} <= set(made)
    assert made["packages"]["pyarrow"]


class Away(Unrecorded):
    """Is a record whose server went away before the end."""

    complete = False


def test_scratch_stays_until_the_record_is_complete_and_the_next_run_ends_it(store: Store) -> None:
    step = Step(letters, LetterConfig())
    artifact, _ = materialize(step, store, InTurn(), Away(), Quiet(), RUN)
    assert not artifact.settled
    found, made = materialize(step, store, InTurn(), Away(), Quiet(), RUN)
    assert (found.settled, made) == (False, False)
    found, made = make(step, store)
    assert (found.settled, made) == (True, False)
    assert calls == ["a"]


def test_an_artifact_whose_record_is_being_ended_is_there_all_the_same(store: Store) -> None:
    step = Step(letters, LetterConfig())
    materialize(step, store, InTurn(), Away(), Quiet(), RUN)
    with store.making(step):
        found, made = make(step, store)
    assert (found.settled, made) == (False, False)
