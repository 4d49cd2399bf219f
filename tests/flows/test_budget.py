from pathlib import Path
from typing import Any

import pytest

from flows.budget import Budget, emitted_kg, over_budget
from pipeline.core.errors import BudgetReached
from pipeline.core.files import write_json
from pipeline.core.progress import Quiet
from pipeline.core.stage import Step
from pipeline.core.store import STOP, WORK
from pipeline.running import Run
from tests.flows.conftest import MADE, Shop

CORPUS_KG = float(str(MADE["emissions_kg"]))


class Seen(Quiet):
    """Remembers what it was shown."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def start(self, name: str) -> None:
        self.calls.append(("start", name))

    def update(self, name: str, done: float, total: float, unit: str, note: str = "") -> None:
        self.calls.append(("update", name, done, total, unit, note))

    def finish(self, name: str) -> None:
        self.calls.append(("finish", name))


@pytest.fixture
def steps(shop: Shop) -> list[Step]:
    """A plan whose corpus was made for half a gram."""
    shop.pretend("corpus", {"a.txt": "text"}, {})
    return [shop.step(name) for name in ("corpus", "tokenizer", "examples-32", "pretrain")]


def spend(shop: Shop, name: str, kg: float, seconds: float = 10.0) -> Path:
    """Have an attempt at a step journal what it emitted; returns the step's scratch folder."""
    work = shop.store.folder(shop.step(name)) / WORK
    (work / "attempts").mkdir(parents=True, exist_ok=True)
    write_json(work / "attempts" / "0000.json", {"energy_kwh": 1.0, "emissions_kg": kg, "duration_s": seconds})
    return work


def test_all_that_a_plan_cost_counts_once_attempts_that_failed_too(shop: Shop, steps: list[Step]) -> None:
    assert emitted_kg([*steps, steps[0]], shop.store) == CORPUS_KG
    spend(shop, "pretrain", 0.25)
    assert emitted_kg(steps, shop.store) == CORPUS_KG + 0.25


def test_without_a_budget_nothing_is_stopped(shop: Shop, steps: list[Step]) -> None:
    seen = Seen()
    budget = Budget(seen, steps, shop.store, None)
    work = spend(shop, "pretrain", 1000.0)
    budget.start("pretrain")
    budget.update("pretrain", 1, 9, "steps", "loss 3")
    budget.finish("pretrain")
    assert seen.calls == [
        ("start", "pretrain"),
        ("update", "pretrain", 1, 9, "steps", "loss 3"),
        ("finish", "pretrain"),
    ]
    assert not budget.reached
    assert not (work / STOP).exists()


def test_a_stage_does_not_begin_when_nothing_is_left(shop: Shop, steps: list[Step]) -> None:
    seen = Seen()
    budget = Budget(seen, steps, shop.store, CORPUS_KG)
    sentence = (
        r"^run\.carbon_budget_kg=0\.0005: reached before tokenizer \(0\.0005 kg\); .* run again with a higher budget"
    )
    with pytest.raises(BudgetReached, match=sentence) as told:
        budget.start("tokenizer")
    assert (budget.reached, seen.calls, told.value.exit_code) == (True, [], 75)


def test_ranks_are_stopped_before_they_emit_too_much(shop: Shop, steps: list[Step]) -> None:
    budget = Budget(Quiet(), steps, shop.store, 1.0)
    work = spend(shop, "pretrain", 0.3, seconds=10.0)  # 0.03 kg a second: until a checkpoint is there, 0.3 kg more
    budget.start("pretrain")
    budget.update("pretrain", 119, 1300, "steps")
    assert not budget.reached
    assert not (work / STOP).exists()
    spend(shop, "pretrain", 0.8, seconds=10.0)
    later = Budget(Quiet(), steps, shop.store, 1.0)
    later.start("pretrain")
    later.update("pretrain", 120, 1300, "steps")
    assert later.reached
    assert (work / STOP).exists()
    assert str(later.error()) == (
        "run.carbon_budget_kg=1: reached at step 120 of 1,300 (0.8 kg); what is made and the checkpoint are kept: "
        "run again with a higher budget to go on"
    )


def test_a_sweep_ends_before_its_trials_emit_too_much(shop: Shop, steps: list[Step]) -> None:
    budget = Budget(Quiet(), steps, shop.store, 1.0)
    work = spend(shop, "pretrain", 0.6, seconds=10.0)
    budget.start("pretrain")
    budget.update("pretrain", 2, 8, "trials")
    assert not budget.reached
    spend(shop, "pretrain", 0.99, seconds=10.0)
    later = Budget(Quiet(), steps, shop.store, 1.0)
    later.start("pretrain")
    with pytest.raises(BudgetReached, match=r"reached after 2 of 8 trials \(0\.991? kg\); what is made"):
        later.update("pretrain", 2, 8, "trials")
    assert later.reached
    assert not (work / STOP).exists()  # nothing waits for ranks to see it


def test_a_stage_without_ranks_goes_on_to_its_end(shop: Shop, steps: list[Step]) -> None:
    budget = Budget(Quiet(), steps, shop.store, 1.0)
    budget.start("tokenizer")
    work = spend(shop, "tokenizer", 5.0)
    budget.update("tokenizer", 1, 2, "shards")
    assert not budget.reached
    assert not (work / STOP).exists()
    with pytest.raises(BudgetReached, match="reached before pretrain"):
        budget.start("pretrain")


def test_a_plan_that_will_not_do_with_its_budget_says_so(shop: Shop, steps: list[Step]) -> None:
    assert over_budget(steps, shop.store, Run(), 100.0) is None
    assert over_budget(steps, shop.store, Run(carbon_budget_kg=1.0), 0.5) is None
    said = over_budget(steps, shop.store, Run(carbon_budget_kg=1.0), 1.5)
    assert said is not None
    assert said.startswith("run.carbon_budget_kg=1: this plan would come to 1.5 kg with what is made")


def test_a_stage_that_ended_well_though_it_was_told_to_stop_does_not_end_the_watch(
    shop: Shop, steps: list[Step]
) -> None:
    budget = Budget(Quiet(), steps, shop.store, 1.0)
    spend(shop, "tokenizer", 0.5, seconds=10.0)
    budget.start("tokenizer")
    budget.update("tokenizer", 998, 1000, "steps")
    assert budget.reached
    budget.finish("tokenizer")
    work = spend(shop, "pretrain", 0.1, seconds=10.0)
    budget.start("pretrain")
    assert not budget.reached
    spend(shop, "pretrain", 0.45, seconds=10.0)
    budget._looked = 0.0
    budget.update("pretrain", 1, 1000, "steps")
    assert budget.reached
    assert (work / STOP).exists()
