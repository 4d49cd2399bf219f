"""Plans, and golden files of them: a changed default or version is a line in review. `UPDATE_GOLDEN=1` rewrites them."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from pipeline.config import PipelineConfig, Recipe, Run, load
from pipeline.core.errors import ConfigError
from pipeline.core.files import Digests
from pipeline.core.stage import Step
from pipeline.plan import plan

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
TINY = ROOT / "configs" / "tiny.yaml"
ALL = ("corpus", "tokenizer", "examples-64", "examples-128", "pretrain", "finetune-polarity")


def steps_of(config: PipelineConfig) -> list[Step]:
    return plan(config.recipe, Digests(Path("/no/such/store/digests.jsonl")).describe)


def keys_of(config: PipelineConfig) -> dict[str, str]:
    return {step.name: step.key for step in steps_of(config)}


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """The files that `small` sees: a text, a book, and labelled lines."""
    files = {"wiki": "wiki.xml", "book": "books/book.txt", "labelled": "labelled.txt"}
    for name in files.values():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"This is {name}.\n")
    return {role: tmp_path / name for role, name in files.items()}


def small(sources: dict[str, Path], *overrides: str) -> PipelineConfig:
    """A recipe of every stage, with two sources and one task."""
    places = [
        f"recipe.corpus.sources.0.path={sources['wiki']}",
        f"recipe.corpus.sources.1.path={sources['book'].parent}",
        f"recipe.finetune=[{{task: polarity, path: '{sources['labelled']}'}}]",
        "recipe.phases.0.sequence_length=64",
        "recipe.phases.1.sequence_length=128",
    ]
    return load([ROOT / "configs" / "small.yaml"], [*places, *overrides])


def changed(old: PipelineConfig, new: PipelineConfig) -> set[str]:
    before, after = keys_of(old), keys_of(new)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def check_golden(name: str, steps: list[Step]) -> None:
    said = [{"name": step.name, "key": step.key, **step.recipe} for step in steps]
    text = json.dumps(said, indent=1) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert json.loads((GOLDEN / name).read_text(encoding="utf-8")) == json.loads(text)


def test_the_plan_of_the_demo_is_as_it_was() -> None:
    check_golden("plan-tiny.json", steps_of(load([TINY])))


@pytest.mark.parametrize("name", ["small", "base", "large"])
def test_the_plan_of_each_recipe_is_as_it_was(name: str, sources: dict[str, Path]) -> None:
    places = [
        f"recipe.corpus.sources.0.path={sources['wiki']}",
        f"recipe.corpus.sources.1.path={sources['book'].parent}",
    ]
    check_golden(f"plan-{name}.json", steps_of(load([ROOT / "configs" / f"{name}.yaml"], places)))


@pytest.mark.parametrize("name", ["local", "gpu", "cluster"])
def test_the_plan_of_the_defaults_is_the_same_wherever_it_runs(name: str, sources: dict[str, Path]) -> None:
    config = load([ROOT / "configs" / f"{name}.yaml"], [f"recipe.corpus.sources.0.path={sources['book']}"])
    check_golden("plan-defaults.json", steps_of(config))


def test_every_step_comes_after_those_it_needs(sources: dict[str, Path]) -> None:
    steps = steps_of(small(sources))
    assert tuple(step.name for step in steps) == ALL
    for at, step in enumerate(steps):
        assert {id(needed) for needed in step.inputs.values()} <= {id(earlier) for earlier in steps[:at]}


def test_examples_are_made_once_for_each_length(sources: dict[str, Path]) -> None:
    steps = steps_of(small(sources, "recipe.phases.1.sequence_length=64"))
    assert [step.name for step in steps if step.label == "examples"] == ["examples-64"]
    (pretrain,) = (step for step in steps if step.label == "pretrain")
    assert set(pretrain.inputs) == {"examples-64", "tokenizer"}


def test_a_plan_makes_nothing(sources: dict[str, Path], tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    plan(small(sources).recipe, Digests(tmp_path / "store" / "digests.jsonl").describe)
    assert sorted(tmp_path.rglob("*")) == before


ELSEWHERE = {
    "store": "elsewhere",
    "ray_address": "head:6379",
    "workers": 3,
    "ranks": 1,
    "threads": 2,
    "device": "cuda",
    "micro_batch": 7,
    "zero_stage": 0,
    "offload": "optimizer",
    "attention": "padded",
    "compile": True,
    "recompute": True,
    "checkpoint_steps": 1,
    "checkpoint_minutes": 5.0,
    "keep_checkpoints": 5,
    "max_failures": 0,
    "min_ranks": 1,
    "spike_nats": 3.0,
    "max_rewinds": 1,
    "peak_tflops": 100.0,
    "host_wait_minutes": 1.0,
    "rank_wait_minutes": 1.0,
    "tracking_uri": "http://head:5000",
    "country": "FRA",
    "grid_g_per_kwh": 56.0,
    "carbon_budget_kg": 1.0,
    "max_concurrent_pretrains": 2,
    "operator": "somebody",
    "fault": "pretrain:20",
}


def test_how_and_where_it_runs_names_nothing(sources: dict[str, Path]) -> None:
    assert ELSEWHERE.keys() == Run.model_fields.keys()
    for name, value in ELSEWHERE.items():
        there = small(sources, f"run.{name}={value}")
        assert getattr(there.run, name) != getattr(Run(), name)
        assert changed(small(sources), there) == set(), name


EXAMPLES = {"examples-64", "examples-128", "pretrain", "finetune-polarity"}
MODEL = {"pretrain", "finetune-polarity"}
TOUCHED: dict[str, tuple[Any, set[str]]] = {
    "name": ("other", set()),
    "seed": (1, EXAMPLES),
    "corpus.sources.0.kind": ("text", set(ALL)),
    "corpus.sources.0.name": ("wiki", set(ALL)),
    "corpus.sources.0.text_column": ("body", set(ALL)),
    "corpus.sources.0.list_items": ("none", set(ALL)),
    "corpus.sources.0.split": ("test", set(ALL)),
    "corpus.sources.0.truncated": ("keep", set(ALL)),
    "corpus.language": ("de", set(ALL)),
    "corpus.cleaning.steps": ("[length]", set(ALL)),
    "corpus.cleaning.minimum_words": (3, set(ALL)),
    "corpus.cleaning.language_confidence": (0.7, set(ALL)),
    "corpus.near_duplicates.mode": ("keep", set(ALL)),
    "corpus.near_duplicates.threshold": (0.7, set(ALL)),
    "corpus.near_duplicates.shingle_words": (3, set(ALL)),
    "corpus.near_duplicates.permutations": (256, set(ALL)),
    "corpus.near_duplicates.bands": (32, set(ALL)),
    "corpus.document_seconds": (5.0, set(ALL)),
    "corpus.shards": (3, set(ALL)),
    "corpus.max_bad_fraction": (0.5, set(ALL)),
    "tokenizer.algorithm": ("bpe", set(ALL) - {"corpus"}),
    "tokenizer.vocab_size": (999, set(ALL) - {"corpus"}),
    "tokenizer.lowercase": (False, set(ALL) - {"corpus"}),
    "examples.objectives": ("[mlm]", EXAMPLES),
    "examples.short_probability": (0.2, EXAMPLES),
    "examples.held_out_fraction": (0.2, EXAMPLES),
    "examples.shards": (3, EXAMPLES),
    "masking.mode": ("static", EXAMPLES),
    "masking.unit": ("word", MODEL),
    "masking.rate": (0.2, MODEL),
    "model.size": ("mini", MODEL),
    "model.layers": (3, MODEL),
    "model.width": (64, MODEL),
    "model.heads": (4, MODEL),
    "model.max_positions": (256, MODEL),
    "model.dropout": (0.2, MODEL),
    "model.initializer_range": (0.1, MODEL),
    "phases.0.steps": (5, MODEL),
    "phases.1.global_batch": (5, MODEL),
    "phases.0.sequence_length": (32, {"examples-64", "examples-32", *MODEL}),
    "pretrain.learning_rate": (1.0, MODEL),
    "pretrain.optimizer": ("muon", MODEL),
    "pretrain.matrix_learning_rate": (0.1, MODEL),
    "pretrain.beta1": (0.8, MODEL),
    "pretrain.beta2": (0.9, MODEL),
    "pretrain.eps": (0.1, MODEL),
    "pretrain.schedule": ("cosine", MODEL),
    "pretrain.warmup_steps": (1, MODEL),
    "pretrain.weight_decay": (0.5, MODEL),
    "pretrain.clip": (0.5, MODEL),
    "pretrain.precision": ("bf16", MODEL),
    "pretrain.evaluate_every": (5, MODEL),
    "pretrain.evaluate_rows": (5, MODEL),
    "finetune.0.epochs": (5, {"finetune-polarity"}),
    "finetune.0.batch": (5, {"finetune-polarity"}),
    "finetune.0.learning_rate": (0.5, {"finetune-polarity"}),
    "finetune.0.warmup_fraction": (0.5, {"finetune-polarity"}),
    "finetune.0.sequence_length": (16, {"finetune-polarity"}),
    "finetune.0.dev_fraction": (0.5, {"finetune-polarity"}),
    "finetune.0.trained": ("head", {"finetune-polarity"}),
    "finetune.0.layer_decay": (0.5, {"finetune-polarity"}),
    "finetune.0.window_stride": (5, {"finetune-polarity"}),
    "finetune.0.max_answer_tokens": (5, {"finetune-polarity"}),
    "finetune.0.sweep.batch": ("[5]", {"finetune-polarity"}),
    "finetune.0.sweep.learning_rate": ("[0.5]", {"finetune-polarity"}),
    "finetune.0.sweep.epochs": ("[5]", {"finetune-polarity"}),
    "finetune.0.sweep.seeds": (2, {"finetune-polarity", "sweep-polarity"}),
}


ELSEWHERE_TESTED = {
    *("corpus.sources.path", "corpus.exclude", "tokenizer.path", "finetune.path"),
    *("finetune.task", "finetune.init", "pretrain.init", "masking.duplicates", "model.architecture"),
    *("phases.first_batch", "phases.batch_warmup_steps", "pretrain.decay_steps"),
    *("finetune.text_column", "finetune.second_column", "finetune.label_column"),
}


def settings_of(section: type[BaseModel]) -> Iterator[str]:
    """Name the leaves of a section, without the numbers of items."""
    for name, field in section.model_fields.items():
        parts = [part for part in (field.annotation, *get_args(field.annotation)) if isinstance(part, type)]
        inner = [part for part in parts if issubclass(part, BaseModel)]
        yield from (f"{name}.{leaf}" for leaf in settings_of(inner[0])) if inner else (name,)


def test_every_setting_of_the_recipe_is_tested_for_what_it_renames() -> None:
    assert {re.sub(r"\.\d+", "", name) for name in TOUCHED} | ELSEWHERE_TESTED == set(settings_of(Recipe))


@pytest.mark.parametrize("setting", TOUCHED)
def test_a_setting_renames_what_depends_on_it_and_nothing_else(setting: str, sources: dict[str, Path]) -> None:
    value, touched = TOUCHED[setting]
    assert changed(small(sources), small(sources, f"recipe.{setting}={value}")) == touched


def test_what_lies_at_the_place_of_a_list_or_tokenizer_names_what_depends_on_it(sources: dict[str, Path]) -> None:
    vocabulary, excluded = (sources["wiki"].with_name(name) for name in ("vocab.txt", "list.txt"))
    vocabulary.write_text("[PAD]\n", encoding="utf-8")
    excluded.write_text("A title\n", encoding="utf-8")
    with_list = small(sources, f"recipe.corpus.exclude={excluded}")
    pinned = small(sources, f"recipe.tokenizer.path={vocabulary}")
    assert changed(small(sources), with_list) == set(ALL)
    assert changed(small(sources), pinned) == set(ALL) - {"corpus"}
    before = keys_of(pinned)
    vocabulary.write_text("[PAD]\n[UNK]\n", encoding="utf-8")
    assert {name for name, key in keys_of(pinned).items() if before[name] != key} == set(ALL) - {"corpus"}


def test_the_architecture_names_the_model_and_no_examples(sources: dict[str, Path]) -> None:
    alone = "recipe.examples.objectives=[mlm]"
    assert changed(small(sources, alone), small(sources, alone, "recipe.model.architecture=modern")) == MODEL


@pytest.mark.parametrize("column", ["text", "second", "label"])
def test_a_column_names_what_is_tuned_on_a_table(column: str, sources: dict[str, Path]) -> None:
    table = f"recipe.finetune=[{{task: table, path: '{sources['labelled']}'}}]"
    other = f"recipe.finetune.0.{column}_column=other"
    assert changed(small(sources, table), small(sources, table, other)) == {"finetune-table"}


def test_how_batches_grow_and_rates_fall_names_the_model(sources: dict[str, Path]) -> None:
    growing = [f"recipe.phases.0.{name}=5" for name in ("first_batch", "batch_warmup_steps")]
    stable = "recipe.pretrain.schedule=wsd"
    assert changed(small(sources), small(sources, *growing)) == MODEL
    assert changed(small(sources, stable), small(sources, stable, "recipe.pretrain.decay_steps=2")) == MODEL


def test_static_masks_are_part_of_the_examples(sources: dict[str, Path]) -> None:
    static = "recipe.masking.mode=static"
    assert changed(small(sources, static), small(sources, static, "recipe.masking.rate=0.2")) == EXAMPLES
    assert changed(small(sources, static), small(sources, static, "recipe.masking.duplicates=2")) == EXAMPLES


def test_the_order_of_sources_names_the_corpus_because_the_first_of_equal_documents_stays(
    sources: dict[str, Path],
) -> None:
    here, there = (f"{{kind: text, path: '{sources[role]}'}}" for role in ("book", "labelled"))
    one, other = (
        small(sources, f"recipe.corpus.sources=[{first}, {second}]") for first, second in ((here, there), (there, here))
    )
    assert changed(one, other) == set(ALL)


@pytest.mark.parametrize(
    ("role", "touched"), [("wiki", set(ALL)), ("book", set(ALL)), ("labelled", {"finetune-polarity"})]
)
def test_a_changed_file_renames_exactly_what_is_made_from_it(
    role: str, touched: set[str], sources: dict[str, Path]
) -> None:
    before = keys_of(small(sources))
    sources[role].write_text("Something else.\n")
    after = keys_of(small(sources))
    assert {name for name in ALL if before[name] != after[name]} == touched


def test_a_moved_file_renames_nothing(sources: dict[str, Path], tmp_path: Path) -> None:
    before = keys_of(small(sources))
    moved = {}
    for role, path in sources.items():
        moved[role] = tmp_path / "elsewhere" / path.relative_to(tmp_path)
        moved[role].parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, moved[role])
    assert keys_of(small(moved)) == before


def test_a_renamed_file_renames_the_corpus_because_titles_come_from_it(sources: dict[str, Path]) -> None:
    before = keys_of(small(sources))
    sources["book"].rename(sources["book"].with_name("renamed.txt"))
    assert keys_of(small(sources))["corpus"] != before["corpus"]


def test_a_plan_without_data_says_which_setting_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"^recipe\.corpus\.sources\.0\.path: is not set; name the file or folder"):
        steps_of(PipelineConfig())
