from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.comparison import COLUMNS, Compared, compared, comparison_of
from flows.outcome import Outcome
from pipeline.core.store import Artifact

RATED = {"energy_method": "estimated from rated power: processor 8 W by load"}
SEEDS = {"accuracy": {"mean": 0.62, "deviation": 0.0123, "n": 5}}


def outcome(name: str, init: str = "", score: float = 0.5, files: str = "a", **given: Any) -> Outcome:
    """Give what a step made: `name` is the label, the task and the start."""
    label, _, rest = name.partition("-")
    task = rest.partition("-")[0]
    config = {"task": task, "batch": 32, "layer_decay": 1.0} | given.pop("config", {})
    manifest = {
        "config": config,
        "sources": {"train": [{"name": "train.tsv", "bytes": 1, "sha256": files}]},
        "facts": {"task": task, "init": init, "dev": {"accuracy": score, "f1": score}, **given.pop("facts", {})},
        "made": {"energy_kwh": 0.001, "sources": {"train": [f"/data/{files}/train.tsv"]}, **given},
    }
    return Outcome(name, Artifact(Path("store") / label / f"{name}-{files}-{config['batch']}", manifest), made=True)


def pretrained() -> Outcome:
    return Outcome("pretrain", Artifact(Path("store/pretrain/bbbbbbbbbbbb"), {"facts": {}, "made": {}}), made=True)


def cells(*outcomes: Outcome) -> list[tuple[str, ...]]:
    return [row.cells for row in compared(outcomes)]


OWN = "pretrain/bbbbbbbbbbbb"


def test_a_task_from_pretrained_weights_and_from_random_ones_is_one_row() -> None:
    rows = cells(pretrained(), outcome("finetune-rte", OWN, 0.7), outcome("finetune-rte-scratch", "scratch", 0.55))
    assert rows == [("rte", "accuracy", "pretrain", "0.700", "0.550", "+0.150", "2 Wh")]


def test_what_was_not_run_is_a_dash() -> None:
    assert cells(outcome("finetune-rte", OWN, 0.7)) == [("rte", "accuracy", OWN, "0.700", "-", "-", "1 Wh")]
    assert cells(outcome("finetune-rte-scratch", "scratch")) == [("rte", "accuracy", "-", "-", "0.500", "-", "1 Wh")]


def test_a_loss_has_its_sign() -> None:
    (row,) = cells(outcome("finetune-rte", OWN, 0.5), outcome("finetune-rte-scratch", "scratch", 0.75))
    assert row[5] == "-0.250"


def test_several_seeds_are_told_by_mean_and_deviation() -> None:
    swept = outcome("sweep-rte", OWN, 0.9, facts={"seeds": SEEDS})
    one = {"accuracy": {"mean": 0.5, "deviation": 0.0, "n": 1}}
    (row,) = cells(swept, outcome("sweep-rte-scratch", "scratch", facts={"seeds": one}))
    assert row[3:6] == ("0.620 ± 0.012 (5 seeds)", "0.500", "+0.120")


def test_the_score_is_the_one_by_which_models_of_a_task_are_compared() -> None:
    rows = cells(outcome("finetune-mrpc", OWN, facts={"dev": {"accuracy": 0.1, "f1": 0.9}}))
    assert rows[0][:4] == ("mrpc", "f1", OWN, "0.900")


def test_each_start_of_a_task_is_held_against_the_same_random_weights() -> None:
    adopted = Outcome("adopt-minilm", Artifact(Path("store/adopt/cccccccccccc"), {"facts": {}, "made": {}}), made=True)
    rows = cells(
        pretrained(),
        outcome("finetune-rte", OWN, 0.6),
        outcome("finetune-rte-scratch", "scratch", 0.5),
        adopted,
        outcome("finetune-rte-minilm", "adopt/cccccccccccc", 0.8),
    )
    assert [row[2:6] for row in rows] == [
        ("pretrain", "0.600", "0.500", "+0.100"),
        ("adopt-minilm", "0.800", "0.500", "+0.300"),
    ]


def test_of_two_from_random_weights_the_more_alike_is_the_partner_and_the_other_has_its_own_row() -> None:
    rows = cells(
        outcome("finetune-rte", OWN, 0.6, config={"batch": 16}),
        outcome("finetune-rte-scratch", "scratch", 0.5),
        outcome("finetune-rte-scratch", "scratch", 0.4, config={"batch": 16}),
    )
    assert [row[3:6] for row in rows] == [("0.600", "0.400", "+0.200"), ("-", "0.500", "-")]


def test_a_tuned_model_that_a_task_only_begins_from_has_no_row() -> None:
    start = outcome("finetune-mrpc", OWN, 0.9)
    kept = Outcome(f"finetune-{start.artifact.key}", start.artifact, made=False)
    (row,) = cells(kept, outcome("finetune-rte", f"finetune/{start.artifact.key}", 0.7))
    assert row[:4] == ("rte", "accuracy", kept.name, "0.700")


def test_the_same_task_over_other_rows_is_another_row_that_names_its_folder() -> None:
    rows = cells(outcome("finetune-rte", OWN, 0.7), outcome("finetune-rte-scratch", "scratch", 0.1, files="b"))
    assert [row[0] for row in rows] == ["rte (a)", "rte (b)"]
    assert [row[5] for row in rows] == ["-", "-"]


def test_another_question_about_the_same_rows_is_another_row_that_names_its_column() -> None:
    rows = cells(
        outcome("finetune-table", OWN, 0.9, config={"label_column": "spam"}),
        outcome("finetune-table-scratch", "scratch", 0.4, config={"label_column": "topic"}),
    )
    assert [(row[0], row[5]) for row in rows] == [("table (a: spam)", "-"), ("table (a: topic)", "-")]


def test_other_rows_held_back_are_another_row_where_there_is_no_development_set() -> None:
    fractions = [{"dev_fraction": fraction} for fraction in (0.1, 0.2)]
    begun = (outcome("finetune-rte", OWN, config=fractions[0]), outcome("finetune-rte", "scratch", config=fractions[1]))
    assert [row[5] for row in cells(*begun)] == ["-", "-"]
    for one in begun:
        one.artifact.manifest["sources"]["dev"] = [{"name": "dev.tsv", "bytes": 1, "sha256": "d"}]
    assert [row[5] for row in cells(*begun)] == ["+0.000"]


@pytest.mark.parametrize(
    ("methods", "told"),
    [((RATED, {}), "2 Wh estimated"), (({}, {}), "2 Wh"), (({"energy_method": "NVML; estimated: 8 W"}, {}), None)],
)
def test_energy_that_is_estimated_in_part_says_so(methods: tuple[dict[str, str], ...], told: str | None) -> None:
    both = zip(("finetune-rte", "finetune-rte-scratch"), (OWN, "scratch"), methods, strict=True)
    (row,) = cells(*(outcome(name, init, **method) for name, init, method in both))
    assert row[-1] == (told or "2 Wh partly estimated")


def test_the_terminal_shows_every_cell_in_one_line() -> None:
    rows: list[Compared] = compared([outcome("finetune-rte", OWN, 0.7), outcome("finetune-sst2-scratch", "scratch")])
    console = Console(width=120)
    with console.capture() as capture:
        console.print(comparison_of(rows))
    lines = [line.split() for line in capture.get().splitlines()]
    assert lines[1] == " ".join(COLUMNS).split()
    assert lines[2] == ["rte", "accuracy", OWN, "0.700", "-", "-", "1", "Wh"]
    assert lines[3] == ["sst2", "accuracy", "-", "-", "0.500", "-", "1", "Wh"]
    assert comparison_of([]).row_count == 0
