import errno
import os
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.compute import Facts
from pipeline.core.errors import DataError, StoreError
from pipeline.core.files import Digests
from pipeline.core.progress import Quiet
from pipeline.core.section import Place, Section
from pipeline.core.stage import Context, Step, materialize, stage
from pipeline.core.store import STOP, WORK, Artifact, Store
from pipeline.running import Run
from tests.core.places import InTurn, Unrecorded

RUN = Run(country="FRA")


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


@dataclass
class Told:
    """Keeps the notes that a stage shows, and does something at the first."""

    first: Callable[[], None]
    notes: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)

    def start(self, name: str) -> None:
        self.running.append(name)

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        self.notes.append(note)
        if len(self.notes) == 1:
            self.first()

    def finish(self, name: str) -> None:
        self.running.remove(name)


def test_an_artifact_that_another_process_makes_is_waited_for_and_taken(store: Store) -> None:
    step = Step(letters, LetterConfig())
    with ExitStack() as other:
        draft = other.enter_context(store.making(step))

        def end_well() -> None:
            (draft / "letters.txt").write_text("theirs")
            store.tidy(store.commit(step, {}, {}))
            other.close()

        told = Told(end_well)
        artifact, made = materialize(step, store, InTurn(), Unrecorded(), told, RUN)
    assert not made
    assert artifact.file("letters.txt").read_text() == "theirs"
    holder = f"pid {os.getpid()} on host {socket.gethostname()}"
    assert told.notes == [f"waiting for letters/{step.key}, which {holder} makes"]
    assert told.running == calls == []


def test_an_artifact_whose_maker_ends_badly_is_made_by_whoever_waits(store: Store) -> None:
    step = Step(letters, LetterConfig())
    with ExitStack() as other:
        other.enter_context(store.making(step))
        told = Told(other.close)
        _, made = materialize(step, store, InTurn(), Unrecorded(), told, RUN)
    assert made
    assert told.running == []


def test_an_end_that_was_asked_for_ends_the_waiting_too(store: Store) -> None:
    step = Step(letters, LetterConfig())

    def interrupt() -> None:
        raise KeyboardInterrupt

    told = Told(interrupt)
    with store.making(step), pytest.raises(KeyboardInterrupt):
        materialize(step, store, InTurn(), Unrecorded(), told, RUN)
    assert told.running == []


def test_a_wish_to_stop_that_an_earlier_attempt_left_stops_nothing(store: Store) -> None:
    step = Step(letters, LetterConfig(letter="!"))
    with store.making(step) as draft:
        (draft / WORK / STOP).touch()
    with pytest.raises(DataError, match="no letter"):
        make(step, store)
    assert not (draft / WORK / STOP).exists()


class PiecesConfig(Section):
    texts: tuple[str, ...] = ()


def copied(text: str, out: Path) -> Facts:
    time.sleep(0.02)
    (out / "text.txt").write_text(text)
    return {}


@stage(version=1)
def pieces(cfg: PiecesConfig, ctx: Context) -> Facts:
    made = ctx.compute.map(copied, cfg.texts, key=str, what="texts")
    (ctx.out / "all.txt").write_text("".join(piece.file("text.txt").read_text() for piece in made))
    return {}


def test_what_is_put_together_of_pieces_that_others_made_owes_them_a_share(store: Store) -> None:
    first, _ = make(Step(pieces, PiecesConfig(texts=("a", "b"))), store)
    second, _ = make(Step(pieces, PiecesConfig(texts=("b", "c"))), store)
    third, _ = make(Step(pieces, PiecesConfig(texts=("a", "b", "c"))), store)
    assert "reused" not in first.manifest["made"]
    assert first.manifest["made"]["piece_seconds"] >= 0.04
    names = [f"pieces/{one.key}" for one in (first, second)]
    assert second.manifest["made"]["reused"]["from"] == {names[0]: 1}
    made = third.manifest["made"]
    assert made["piece_seconds"] == 0
    assert made["reused"]["from"] == dict(sorted({names[0]: 2, names[1]: 1}.items()))
    for cost in ("energy_kwh", "emissions_kg", "duration_s"):
        assert 0 < made["reused"][cost] < sum(one.manifest["made"][cost] for one in (first, second))
        assert made[f"{cost}_total"] == made[cost] + made["reused"][cost]


def test_what_is_made_of_an_artifact_and_of_its_pieces_pays_once(store: Store) -> None:
    first = Step(pieces, PiecesConfig(texts=("a",)))
    make(first, store)
    again, _ = make(Step(pieces, PiecesConfig(texts=("a",)), {"first": first}), store)
    assert "reused" not in again.manifest["made"]


def test_pieces_of_a_maker_that_is_gone_are_told_and_cost_nothing_known(store: Store) -> None:
    first, _ = make(Step(pieces, PiecesConfig(texts=("a",))), store)
    shutil.rmtree(first.path)
    again, _ = make(Step(pieces, PiecesConfig(texts=("a", "b"))), store)
    assert again.manifest["made"]["reused"] == {
        "energy_kwh": 0.0, "emissions_kg": 0.0, "duration_s": 0.0, "from": {f"pieces/{first.key}": 1},
    }  # fmt: skip
