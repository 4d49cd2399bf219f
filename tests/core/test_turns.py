"""Turns of processes: one is another open file here, which flock holds apart all the same."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from pipeline.core.turns import turn


def _refuse(who: str) -> None:
    raise KeyboardInterrupt(who)


def test_as_many_as_there_are_places_run_at_once_and_the_next_is_told_who_has_them(tmp_path: Path) -> None:
    places = tmp_path / "locks" / "ranks"
    with turn(places, 2, "pretrain/1", _refuse), turn(places, 2, "pretrain/2", _refuse):
        with (
            pytest.raises(KeyboardInterrupt, match=r"^pid \d+ on host .+ \(pretrain/1\); pid \d+ .+ \(pretrain/2\)$"),
            turn(places, 2, "pretrain/3", _refuse),
        ):
            raise AssertionError("there is no third place")
        with turn(places, 3, "pretrain/4", _refuse):
            pass


def test_whoever_waits_goes_on_when_a_place_is_free(tmp_path: Path) -> None:
    with ExitStack() as first:
        first.enter_context(turn(tmp_path / "ranks", 1, "pretrain/1", _refuse))
        told: list[str] = []

        def free(who: str) -> None:
            told.append(who)
            first.close()

        with turn(tmp_path / "ranks", 1, "pretrain/2", free):
            assert len(told) == 1
            with pytest.raises(KeyboardInterrupt, match="pretrain/2"), turn(tmp_path / "ranks", 1, "", _refuse):
                pass
