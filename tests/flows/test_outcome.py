from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from rich.console import Console

from flows.outcome import Outcome, duration, findings, funnel_of, next_commands, table_of
from pipeline.config import Run
from pipeline.core.store import Artifact
from pipeline.estimate import Estimate

COST = {"duration_s": 200.4, "energy_kwh": 0.00123, "emissions_kg": 0.0005}
GRID = {"country": "FRA", "grid_g_per_kwh": 56.039, "grid_source": "a file, 2023"}
RATED = {"energy_method": "estimated from rated power: processor 8 W by load", **GRID}


def outcome(name: str, *, made: bool = True, method: Mapping[str, Any] = MappingProxyType({}), **facts: Any) -> Outcome:
    cost = {**COST, **method}
    label = name.partition("-")[0]
    return Outcome(name, Artifact(Path("store") / label / "0123456789ab", {"made": cost, "facts": facts}), made)


def printed(*outcomes: Outcome, estimates: Mapping[str, Estimate] | None = None) -> list[list[str]]:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(table_of(outcomes, "FRA", estimates))
    return [line.split() for line in capture.get().splitlines()]


def test_the_table_says_of_each_stage_what_became_of_it_and_what_it_cost() -> None:
    rows = printed(outcome("corpus", made=False), outcome("finetune-polarity"))
    assert rows[1] == ["stage", "time", "energy", "CO2", "(FRA)", "artifact"]
    assert rows[2] == [*["corpus", "cached", "3", "min", "20", "s", "1.23", "Wh", "500", "mg", "corpus/0123456789ab"]]
    assert rows[3] == [
        *["finetune-polarity", "made", "3", "min", "20", "s", "1.23", "Wh", "500", "mg", "finetune/0123456789ab"]
    ]


def test_the_plan_stands_beside_the_outcome() -> None:
    estimates = {"pretrain": Estimate(61.0, 2.5, 0.001, 1e6, "from a table")}
    rows = printed(outcome("corpus", made=False), outcome("pretrain"), estimates=estimates)
    assert rows[1] == ["stage", "time", "plan", "energy", "plan", "CO2", "(FRA)", "plan", "artifact"]
    assert rows[2][2:] == ["3", "min", "20", "s", "1.23", "Wh", "500", "mg", "corpus/0123456789ab"]
    assert rows[3][2:9] == ["3", "min", "20", "s", "1", "min", "1"]
    assert rows[3][10:] == ["1.23", "Wh", "2.5", "kWh", "500", "mg", "1", "g", "pretrain/0123456789ab"]


def test_an_estimated_figure_says_so_and_how() -> None:
    rows = printed(outcome("corpus", method=RATED), outcome("pretrain", method=RATED))
    assert rows[1] == ["stage", "time", "energy", "(estimated)", "CO2", "(FRA)", "artifact"]
    told = [" ".join(row) for row in rows[4:6]]
    assert told == [
        "energy: estimated from rated power: processor 8 W by load",
        "CO2: 56.039 g/kWh, FRA (a file, 2023)",
    ]


def test_where_one_row_was_measured_and_another_not_each_says_what_it_is() -> None:
    measured = {"energy_method": "RAPL", **GRID}
    rows = printed(outcome("corpus", method=measured), outcome("pretrain", method=RATED))
    assert rows[1][2] == "energy"
    assert rows[1][3] == "CO2"
    assert "estimated" not in rows[2]
    assert rows[3][6:9] == ["1.23", "Wh", "estimated"]


def test_the_funnel_of_a_corpus_adds_up() -> None:
    dropped = {"duplicates: the same text as a document of books": 3, "length: shorter than 10 words": 1200}
    facts = {"read": 2003, "empty": 2, "skipped": 1, "documents": 2000, "dropped": dropped, "clusters": {"count": 0}}
    console = Console(width=120)
    with console.capture() as capture:
        console.print(funnel_of(facts))
    rows = [line.split() for line in capture.get().splitlines() if line.strip()]
    assert rows == [
        ["documents"],
        ["3,206", "found"],
        ["-1", "skipped", "could", "not", "be", "parsed"],
        ["-2", "empty", "held", "no", "text"],
        *[["-3", "duplicates", "the", "same", "text", "as", "a", "document", "of", "books"]],
        ["-1,200", "length", "shorter", "than", "10", "words"],
        ["2,000", "kept"],
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_times_are_written_as_people_read_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("loss", "verdict"), [(3.0, "below"), (6.0, "NOT below")])
def test_pretraining_is_measured_against_the_unigram_entropy(loss: float, verdict: str) -> None:
    facts = {
        "curve": "9.0 █▁ 4.0",
        "held_out_mlm_loss": loss,
        "held_out_mlm_perplexity": 1234.56,
        "unigram_entropy_nats": 5.5,
    }
    curve, line = findings([outcome("corpus"), outcome("pretrain", **facts)])
    assert curve == "pretrain: loss 9.0 █▁ 4.0"
    assert line == (
        f"pretrain: held-out MLM loss {loss:.3f} nats (perplexity 1,234.6), {verdict} the corpus's unigram entropy of 5.500 nats"
    )


def test_pretraining_without_held_out_documents_has_no_measure() -> None:
    _, line = findings([outcome("pretrain", curve="9.0 █▁ 4.0", unigram_entropy_nats=5.5)])
    assert line == "pretrain: no held-out MLM loss; recipe.examples.held_out_fraction held no document out"


def test_fine_tuning_tells_its_scores() -> None:
    (line,) = findings([outcome("finetune-rte", dev={"accuracy": 0.7123, "f1": 0.5}, rows={"dev": 277})])
    assert line == "finetune-rte: accuracy 0.712, f1 0.500 on 277 development rows"


def test_next_commands_name_the_model_and_the_store() -> None:
    outcomes = [outcome("corpus"), outcome("pretrain")]
    assert next_commands(outcomes[:1], Run()) == ["pretrace show"]
    assert next_commands(outcomes, Run(store="/data"))[0] == (
        'pretrace fill 0123456789ab "Paris is the [MASK] of France." --store /data'
    )
    assert next_commands(outcomes, Run())[1] == "pretrace export 0123456789ab my-bert"


def test_next_commands_name_the_record_without_its_password() -> None:
    outcomes = [outcome("pretrain")]
    assert next_commands(outcomes, Run())[-1] == "mlflow ui --backend-store-uri sqlite:///store/mlflow.db"
    server = Run(tracking_uri="http://me:secret@head:5000")
    assert next_commands(outcomes, server)[-1] == "http://head:5000"
