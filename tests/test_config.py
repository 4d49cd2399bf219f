import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config import PipelineConfig, PretrainConfig, load
from pipeline.core.errors import ConfigError
from pipeline.objectives import OBJECTIVES
from pipeline.tasks import TASKS
from pipeline.text.sources import SOURCES
from pipeline.training.order import Running

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
HEAVY = ("torch", "numpy", "pyarrow", "ray", "mlflow", "prefect", "tokenizers", "deepspeed", "transformers", "sklearn")


def given(*overrides: str) -> PipelineConfig:
    return load([], overrides)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_in_the_repository_loads(path: Path) -> None:
    assert load([path]) != PipelineConfig() or path.name == "local.yaml"


def test_local_yaml_says_the_defaults() -> None:
    assert load([ROOT / "configs" / "local.yaml"]) == PipelineConfig()


def test_a_recipe_and_a_run_are_laid_over_each_other() -> None:
    config = load([ROOT / "configs" / "small.yaml", ROOT / "configs" / "gpu.yaml"], ["run.micro_batch=8"])
    assert (config.recipe.name, config.run.device, config.run.micro_batch) == ("small", "cuda", 8)


def test_the_defaults_are_the_papers() -> None:
    recipe = PipelineConfig().recipe
    assert recipe.model.shape(recipe.tokenizer.vocab_size).layers == 12
    assert [(phase.sequence_length, phase.steps, phase.global_batch) for phase in recipe.phases] == [
        (128, 900_000, 256),
        (512, 100_000, 256),
    ]
    assert (recipe.pretrain.learning_rate, recipe.pretrain.warmup(1_000_000), recipe.masking.rate) == (
        1e-4,
        10_000,
        0.15,
    )


def test_a_part_of_a_named_size_can_be_overridden() -> None:
    model = given("recipe.model.size=tiny", "recipe.model.layers=3", "recipe.model.max_positions=512").recipe.model
    shape = model.shape(1000)
    assert (shape.layers, shape.width, shape.heads, shape.vocab_size) == (3, 128, 2, 1000)


def test_nothing_of_a_config_can_be_changed() -> None:
    config = PipelineConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.recipe.corpus.shards = 2  # type: ignore[misc]
    assert isinstance(config.recipe.corpus.sources, tuple)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["recipe.model.vocab=1"],
            r"^recipe\.model\.vocab: is not a setting; known are architecture, size, layers, width",
        ),
        (
            ["recipe.corpus.shard=1"],
            r"^recipe\.corpus\.shard: is not a setting; did you mean recipe\.corpus\.shards\?$",
        ),
        (["run.worker=1"], r"^run\.worker: is not a setting; did you mean run\.workers\?$"),
        (["recipe.corpus.sources.0.pth=x"], r"did you mean recipe\.corpus\.sources\.0\.path\?$"),
        (["recipes.seed=1"], r"^recipes: is not a setting; did you mean recipe\?$"),
        (
            ["recipe.corpus.sources.0.kind=wiki"],
            r"^recipe\.corpus\.sources\.0\.kind='wiki': is not one of wikipedia, books",
        ),
        (["recipe.corpus.sources=[]"], r"^recipe\.corpus\.sources=\[\]: tuple should have at least 1 item"),
        (
            ["recipe.examples.objectives=[mlm, cls]"],
            r"^recipe\.examples\.objectives\.1='cls': is not one of mlm, nsp, sop$",
        ),
        (["recipe.tokenizer.algorithm=word"], r"algorithm='word': is not one of wordpiece, bpe, unigram$"),
        (["recipe.corpus.cleaning.steps=[polish]"], r"'polish': is not one of repair, length, language, "),
        (
            ["recipe.corpus.near_duplicates.bands=7"],
            r"^recipe\.corpus\.near_duplicates\.permutations=128 is not a multiple of .*bands=7; change one of them$",
        ),
        (["recipe.model.size=huge"], r"^recipe\.model\.size='huge': is not one of tiny, mini, small"),
        (
            ["recipe.finetune=[{task: rte, label_column: gold}]"],
            r"^recipe\.finetune\.0\.label_column=gold: the task rte knows its columns; leave it out, or take the task table$",
        ),
        (
            ["recipe.finetune=[{task: xnli}]"],
            r"^recipe\.finetune\.0\.task='xnli': is not one of rte, sst2, cola, .*, conll, polarity$",
        ),
        (["recipe.masking.rate=1"], r"^recipe\.masking\.rate=1: input should be less than 1$"),
        (
            ["recipe.examples.held_out_fraction=-0.1"],
            r"held_out_fraction=-0\.1: input should be greater than or equal to 0",
        ),
        (["recipe.seed=-1"], r"^recipe\.seed=-1: input should be greater than or equal to 0$"),
        (["run.zero_stage=4"], r"^run\.zero_stage=4: input should be less than or equal to 3$"),
        (["run.country=fra"], r"^run\.country='fra': string should match pattern"),
        (["run.device=tpu"], r"^run\.device='tpu': input should be 'cpu' or 'cuda'$"),
        (
            ["recipe.model.max_positions=128"],
            r"^recipe\.phases\.1\.sequence_length=512 exceeds recipe\.model\.max_positions=128; raise the latter or lower",
        ),
        (
            ["recipe.finetune=[{sequence_length: 600}]"],
            r"^recipe\.finetune\.0\.sequence_length=600 exceeds recipe\.model\.max_positions=512",
        ),
        (
            ["recipe.finetune=[{trained: gradual, epochs: 1}]"],
            r"^recipe\.finetune\.0\.trained=gradual with 1 epoch in epochs: the head learns alone in the first, so no layer",
        ),
        (
            ["recipe.finetune=[{trained: gradual, sweep: {epochs: [3, 1]}}]"],
            r"^recipe\.finetune\.0\.trained=gradual with 1 epoch in sweep\.epochs: the head learns alone",
        ),
        (
            ["recipe.model.width=100"],
            r"^recipe\.model\.width=100 is not a multiple of recipe\.model\.heads=12; change one of them$",
        ),
        (
            ["recipe.examples.objectives=[nsp, mlm, sop]"],
            r"^recipe\.examples\.objectives: nsp and sop both make pairs of segments; keep one of them$",
        ),
        (
            ["recipe.examples.objectives=[mlm, mlm]"],
            r"^recipe\.examples\.objectives=\['mlm', 'mlm'\] names one twice; keep it once$",
        ),
        (
            ["recipe.model.architecture=modern"],
            r"^recipe\.examples\.objectives: nsp tells pairs by their segments, which "
            r"recipe\.model\.architecture=modern has not; leave it out or take bert$",
        ),
        (
            ["recipe.model.architecture=modern", "recipe.examples.objectives=[mlm]", "recipe.model.heads=256"],
            r"^recipe\.model\.width=768 with recipe\.model\.heads=256 makes odd heads, which rotary positions cannot turn",
        ),
        (
            ["recipe.masking.duplicates=5"],
            r"^recipe\.masking\.duplicates is for static masks; set recipe\.masking\.mode=static or leave it out$",
        ),
        (
            ["recipe.phases.1.global_batch=2", "run.ranks=4"],
            r"^recipe\.phases\.1\.global_batch=2 is below run\.ranks=4; every rank needs a sequence",
        ),
        (
            ["recipe.phases.0.first_batch=2", "recipe.phases.0.batch_warmup_steps=9", "run.ranks=4"],
            r"^recipe\.phases\.0\.first_batch=2 is below run\.ranks=4; every rank needs a sequence",
        ),
        (
            ["recipe.phases.0.first_batch=512", "recipe.phases.0.batch_warmup_steps=9"],
            r"^recipe\.phases\.0\.first_batch=512 exceeds global_batch=256; a batch can only grow$",
        ),
        (
            ["recipe.phases.1.first_batch=64"],
            r"^recipe\.phases\.1\.first_batch=64 needs batch_warmup_steps: in how many steps it grows to global_batch$",
        ),
        (
            ["recipe.phases.1.batch_warmup_steps=64"],
            r"^recipe\.phases\.1\.batch_warmup_steps=64 needs first_batch: the sequences of the first step$",
        ),
        (
            ["recipe.phases.1.first_batch=64", "recipe.phases.1.batch_warmup_steps=100001"],
            r"^recipe\.phases\.1\.batch_warmup_steps=100001 exceeds steps=100000; lower the former$",
        ),
        (
            ["recipe.pretrain.decay_steps=64"],
            r"^recipe\.pretrain\.decay_steps=64 is for recipe\.pretrain\.schedule=wsd, not linear; leave it out or",
        ),
        (
            ["recipe.pretrain.schedule=wsd", "recipe.pretrain.decay_steps=990001"],
            r"^recipe\.pretrain\.decay_steps=990001 and recipe\.pretrain\.warmup_steps=10000 exceed the 1000000 steps",
        ),
        (
            ["recipe.pretrain.optimizer=lamb"],
            r"^recipe\.pretrain\.optimizer=lamb with run\.device=cpu: .* CUDA alone; take stableadamw or adamw$",
        ),
        (
            ["recipe.pretrain.precision=fp16"],
            r"^recipe\.pretrain\.precision=fp16 with run\.device=cpu: .* take float32 or run on cuda$",
        ),
        (
            ["recipe.pretrain.precision=bf16", "run.zero_stage=0"],
            r"^recipe\.pretrain\.precision=bf16 with run\.zero_stage=0: .* take stage 1, 2 or 3$",
        ),
        (
            ["run.offload=optimizer", "run.zero_stage=0"],
            r"^run\.offload=optimizer with run\.zero_stage=0: .* take stage 1, 2 or 3$",
        ),
        (
            ["run.offload=parameters"],
            r"^run\.offload=parameters with run\.zero_stage=2: .* take stage 3 or offload optimizer$",
        ),
        (["run.min_ranks=3"], r"^run\.min_ranks=3 exceeds run\.ranks=2; raise the latter or lower the former$"),
        (["run.compile=true", "run.zero_stage=3"], r"^run\.compile=true with run\.zero_stage=3: .* use 0, 1 or 2$"),
        (
            ["run.attention=varlen"],
            r"^run\.attention=varlen with run\.device=cpu: torch has no kernel of it there; take auto or padded$",
        ),
        (
            ["run.attention=varlen", "run.device=cuda"],
            r"^run\.attention=varlen with recipe\.pretrain\.precision=float32: its kernels take 16 bits; take bf16",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_opens_with_the_setting(overrides: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        given(*overrides)
    assert "\n" not in str(caught.value)


def test_static_masks_may_have_duplicates() -> None:
    assert given("recipe.masking.mode=static", "recipe.masking.duplicates=5").recipe.masking.duplicates == 5


def test_a_rank_is_told_how_to_run_and_nothing_of_where_the_store_is() -> None:
    told = PipelineConfig().run.training()
    assert Running(**told) == Running(checkpoint_steps=200)
    assert set(told) == {field.name for field in dataclasses.fields(Running)}


def properties(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    sections = {"PipelineConfig": schema, **schema["$defs"]}
    return [(f"{name}.{key}", field) for name, part in sections.items() for key, field in part["properties"].items()]


def test_every_setting_has_a_description_for_the_form() -> None:
    silent = [name for name, field in properties(PipelineConfig.model_json_schema()) if not _described(field)]
    assert silent == []


def _described(field: dict[str, Any]) -> bool:
    return "description" in field or "$ref" in field


def test_the_form_can_be_drawn_no_unions_of_models_and_no_choices_of_one() -> None:
    for name, field in properties(PipelineConfig.model_json_schema()):
        choices = field.get("anyOf", []) + field.get("oneOf", [])
        assert not any("$ref" in choice for choice in choices), name
        assert "const" not in field, name
        assert len(field.get("enum", [1, 2])) > 1, name


def test_the_registries_are_the_choices_of_the_form() -> None:
    sections = PipelineConfig.model_json_schema()["$defs"]
    assert sections["SourceConfig"]["properties"]["kind"]["enum"] == list(SOURCES)
    assert sections["ExamplesConfig"]["properties"]["objectives"]["items"]["enum"] == list(OBJECTIVES)
    assert sections["FinetuneConfig"]["properties"]["task"]["enum"] == list(TASKS)


def test_a_config_reads_back_from_its_own_json() -> None:
    config = load([ROOT / "configs" / "tiny.yaml"])
    assert PipelineConfig.model_validate_json(config.model_dump_json()) == config


def test_settings_load_without_anything_heavy() -> None:
    code = f"import json, sys, pipeline.config; print(json.dumps([n for n in {HEAVY} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    ("given", "steps", "warmup"), [({}, 1_000_000, 10_000), ({}, 2000, 200), ({}, 5, 0), ({"warmup_steps": 7}, 8, 7)]
)
def test_warm_up_is_a_tenth_of_a_short_training_unless_given(given: dict[str, int], steps: int, warmup: int) -> None:
    assert PretrainConfig(**given).warmup(steps) == warmup
