from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.outcome import Outcome, duration, findings, funnel_of, next_commands, table_of
from pipeline.config import Run
from pipeline.core.store import Artifact


def outcome(name: str, *, made: bool = True, **facts: Any) -> Outcome:
    cost = {"duration_s": 200.4, "energy_kwh": 0.00123, "emissions_kg": 0.0005}
    label = name.partition("-")[0]
    return Outcome(name, Artifact(Path("store") / label / "0123456789ab", {"made": cost, "facts": facts}), made)


def printed(*outcomes: Outcome) -> list[list[str]]:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table_of(outcomes, "FRA"))
    return [line.split() for line in capture.get().splitlines()]


def test_the_table_says_of_each_stage_what_became_of_it_and_what_it_cost() -> None:
    rows = printed(outcome("corpus", made=False), outcome("finetune-polarity"))
    assert rows[1] == ["stage", "time", "energy", "CO2", "(FRA)", "artifact"]
    assert rows[2] == [*["corpus", "cached", "3", "min", "20", "s", "1.23", "Wh", "0.50", "g", "corpus/0123456789ab"]]
    assert rows[3] == [
        *["finetune-polarity", "made", "3", "min", "20", "s", "1.23", "Wh", "0.50", "g", "finetune/0123456789ab"]
    ]


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
