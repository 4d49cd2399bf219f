"""Runs of the page that stand in each other's way or run out of what they may emit, and the audit of what they made."""

import pytest

from flows.budget import emitted_kg
from flows.planning import plan_in
from pipeline.config import Recipe
from pipeline.core.store import Artifact
from tests.e2e.conftest import Project
from tests.room.conftest import DATA, History, Room, Watched, settings, until

LONG = 200
"""Steps that take several times as long as a look at the budget."""
ENDLESS = 100_000
"""Steps of a run that somebody has to end."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture
def made(room: Room, history: History, project: Project) -> Artifact:
    """The model that a run made in the end."""
    watched = Watched(room, settings(project))
    made = watched.store.find(watched.step)
    assert made is not None
    return made


def test_what_was_made_is_audited_from_the_page(room: Room, made: Artifact) -> None:
    for what in (made.key, "models:/room@candidate"):
        run = room.start("audit", {"what": what})
        state, said = room.ended(run)
        assert (state, said) == ("Completed", room.shows(run, "audit"))
        assert said.startswith(f"pretrain/{made.key}: proved, ")


def test_an_audit_of_a_damaged_store_fails_with_the_sentence_that_says_so(room: Room, made: Artifact) -> None:
    extra = made.path / "extra.txt"
    extra.write_text("from nowhere")
    run = room.start("audit", {"what": made.key})
    state, said = room.ended(run)
    extra.unlink()
    assert (state, said) == ("Failed", room.shows(run, "audit"))
    assert said.startswith(f"pretrain/{made.key}: not proved: 1 of its files ")


def test_a_run_that_would_emit_too_much_pauses_with_a_checkpoint_and_goes_on_with_a_higher_budget(
    room: Room, project: Project
) -> None:
    parameters = settings(project, steps=LONG, seed=1)
    assert room.ended(room.start("data", parameters))[0] == "Completed"
    watched = Watched(room, parameters)
    spent = emitted_kg(plan_in(watched.store, Recipe.model_validate(parameters["recipe"])), watched.store)
    tight = {**parameters["run"], "carbon_budget_kg": spent + 1e-9}
    paused = room.start("pretrain", {**parameters, "run": tight})
    state, said = room.ended(paused)
    assert state == "Paused: carbon budget"
    assert "run again with a higher budget to go on" in said
    assert room.tasks(paused)["pretrain"] == "Paused: carbon budget"
    [reached] = watched.checkpoints()[-1:]
    assert 0 < reached < LONG
    ample = {**parameters["run"], "carbon_budget_kg": 1000.0}
    again = room.start("pretrain", {**parameters, "run": ample})
    assert room.ended(again)[0] == "Completed"
    assert room.tasks(again) == {**dict.fromkeys(DATA, "Cached"), "pretrain": "Completed"}
    made = watched.store.find(watched.step)
    assert made is not None
    assert made.manifest["made"]["attempts"] == 2


def test_runs_that_want_the_same_ranks_or_the_same_artifact_wait_for_their_turn(room: Room, project: Project) -> None:
    endless, short = settings(project, steps=ENDLESS, seed=2), settings(project, steps=20, seed=2)
    first = room.start("pretrain", endless)
    training = Watched(room, endless)
    until(lambda: training.is_past(0))
    same = [room.start("pretrain", short), room.start("pretrain", short)]

    def waiting() -> list[str]:
        return sorted(said.partition(" waiting for ")[0] for run in same if " waiting for " in (said := progress(run)))

    def progress(run: str) -> str:
        return room.shows(run, "pretrain-progress")

    until(lambda: waiting() == ["pretrain: 0 of 1 artifacts", "pretrain: 0 of 1 turns"])
    assert Watched(room, short).attempts() == []
    room.cancel(first)
    assert room.ended(first)[0] == "Cancelled"
    assert [room.ended(run)[0] for run in same] == ["Completed", "Completed"]
    assert sorted(room.tasks(run)["pretrain"] for run in same) == ["Cached", "Completed"]
