from pathlib import Path

from flows.showing import cost_of
from tests.flows.conftest import Command, Shop

MADE = {"duration_s": 61.0, "energy_kwh": 0.002, "emissions_kg": 0.001}
TOTAL = {"duration_s_total": 122.0, "energy_kwh_total": 0.004, "emissions_kg_total": 0.002}
RATED = {"energy_method": "estimated from rated power: processor 8 W by load"}


def test_a_plan_says_what_each_missing_step_would_cost_and_from_what_it_knows(pretrace: Command, shop: Shop) -> None:
    shop.make("corpus")
    said = pretrace("plan", shop.config, "run.country=FRA")
    assert said.code == 0
    lines = said.out.splitlines()
    rows = [line.split() for line in lines[lines.index(next(line for line in lines if line.startswith("estimates"))) :]]
    assert rows[1] == ["step", "time", "energy", "CO2", "(FRA)", "disk", "basis"]
    assert [row[0] for row in rows[2:6]] == ["tokenizer", "examples-32", "pretrain", "total"]
    assert " ".join(rows[2]).endswith("from the rates in benchmarks/results")
    assert "from FLOPs at 30% of" in " ".join(rows[4])
    assert "CO2 at 56.039 g/kWh (codecarbon" in said.out
    assert "checkpoints take up to" in said.out
    assert "carbon_budget_kg" not in said.out


def test_a_plan_in_a_store_with_earlier_runs_says_so(pretrace: Command, shop: Shop) -> None:
    shop.make("corpus")
    said = pretrace("plan", shop.config, "recipe.corpus.shards=3")
    corpus = next(line for line in said.out.splitlines() if line.startswith("corpus") and "from" in line)
    assert corpus.rstrip().endswith("from 1 earlier run here")


def test_a_plan_that_its_budget_will_not_do_for_says_so(pretrace: Command, shop: Shop) -> None:
    said = pretrace("plan", shop.config, "run.carbon_budget_kg=0.000001")
    assert "run.carbon_budget_kg=1e-06: this plan would come to " in said.out


def test_a_plan_of_what_is_made_estimates_nothing(pretrace: Command, shop: Shop, tmp_path: Path) -> None:
    for name in ("corpus", "tokenizer"):
        shop.make(name)
    for name in ("examples-32", "pretrain"):
        shop.pretend(name, {"a.txt": "text"}, {})
    assert "estimates" not in pretrace("plan", shop.config).out


def test_show_says_what_an_artifact_cost_and_how_that_is_known(pretrace: Command, shop: Shop) -> None:
    corpus = shop.make("corpus")
    said = pretrace("show", corpus.key, "--store", shop.store.root)
    cost = said.out.splitlines()[1]
    assert cost.startswith("cost: ")
    assert ("(estimated)" in cost) == corpus.manifest["made"]["energy_method"].startswith("estimated")
    assert "CO2e in 1 attempt; with all that it was made from " in cost
    listed = pretrace("show", "--store", shop.store.root).out.splitlines()
    assert listed[0].split() == ["artifact", "made", "took", "energy", "CO2", "size", "facts"]


def test_a_cost_is_told_in_one_line() -> None:
    assert cost_of(MADE) == "cost: 1 min 1 s, 2 Wh, 1 g CO2e in 1 attempt"
    assert cost_of({**MADE, **TOTAL, **RATED, "attempts": 3}) == (
        "cost: 1 min 1 s, 2 Wh (estimated), 1 g CO2e in 3 attempts; with all that it was made from 2 min 2 s, "
        "4 Wh (estimated), 2 g CO2e"
    )
