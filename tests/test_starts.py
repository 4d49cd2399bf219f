"""Where tasks and pretraining start: what a plan then holds, and what names it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import FinetuneConfig, Recipe, load
from pipeline.core.errors import ConfigError
from pipeline.core.files import Digests
from pipeline.core.stage import Step
from pipeline.core.store import Artifact
from pipeline.plan import plan

VOCABULARY, MODEL, TUNED = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"


def artifact(label: str, key: str, **inputs: str) -> Artifact:
    """Make the manifest of an artifact as a store would give it."""
    manifest = {"stage": label, "version": 1, "config": {}, "inputs": inputs, "sources": {}, "label": label, "key": key}
    return Artifact(Path("/no/such/store") / label / key, manifest)


KEPT = {
    one.key: one
    for one in (
        artifact("tokenizer", VOCABULARY, corpus="corpus/000000000000"),
        artifact("pretrain", MODEL, tokenizer=f"tokenizer/{VOCABULARY}"),
        artifact("finetune", TUNED, pretrain=f"pretrain/{MODEL}", tokenizer=f"tokenizer/{VOCABULARY}"),
    )
}


def find(reference: str) -> Artifact:
    return KEPT[reference.rpartition("/")[2]]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Labelled lines, a text, and a folder that looks like a model's."""
    lines, text, folder = tmp_path / "lines.txt", tmp_path / "text.txt", tmp_path / "bert"
    lines.write_text("__label__pos fine\n")
    text.write_text("A text.\n")
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt", "README.md"):
        (folder / name).write_text(name)
    return {"lines": lines, "text": text, "bert": folder}


def planned(files: dict[str, Path], *inits: str, text: bool = False, **pretrain: Any) -> dict[str, Step]:
    """Plan a task from each start."""
    tree = {
        "corpus": {"sources": [{"path": str(files["text"]) if text else ""}]},
        "phases": [{"sequence_length": 64}],
        "pretrain": pretrain,
        "finetune": [{"task": "polarity", "path": str(files["lines"]), "init": init} for init in inits],
    }
    steps = plan(Recipe.model_validate(tree), Digests(Path("/no/such/store/digests.jsonl")).describe, find)
    assert len({step.name for step in steps}) == len(steps)
    return {step.label if step.label == "adopt" else step.name: step for step in steps}


def test_tasks_that_start_from_a_folder_need_no_corpus(files: dict[str, Path]) -> None:
    steps = planned(files, str(files["bert"]))
    assert list(steps) == ["adopt", "finetune-polarity-bert"]
    assert {file.name for found in steps["adopt"].sources.values() for file in found} == {
        "config.json", "model.safetensors", "vocab.txt",
    }  # fmt: skip
    assert all(step is steps["adopt"] for step in steps["finetune-polarity-bert"].inputs.values())


def test_a_task_from_random_weights_needs_a_vocabulary_and_no_pretraining(files: dict[str, Path]) -> None:
    steps = planned(files, "scratch", text=True)
    assert list(steps) == ["corpus", "tokenizer", "finetune-polarity-scratch"]
    assert steps["finetune-polarity-scratch"].inputs.keys() == {"tokenizer"}


def test_the_shape_names_a_task_from_random_weights_and_none_from_a_folder(files: dict[str, Path]) -> None:
    keys = [
        {name: step.key for name, step in planned(files, "scratch", str(files["bert"]), text=True).items()},
        {name: step.key for name, step in _with_mini(files, "scratch", str(files["bert"])).items()},
    ]
    assert {name for name in keys[0] if keys[0][name] != keys[1][name]} == {"finetune-polarity-scratch"}


def _with_mini(files: dict[str, Path], *inits: str) -> dict[str, Step]:
    tree = {
        "corpus": {"sources": [{"path": str(files["text"])}]},
        "model": {"size": "mini"},
        "finetune": [{"task": "polarity", "path": str(files["lines"]), "init": init} for init in inits],
    }
    steps = plan(Recipe.model_validate(tree), Digests(Path("/no/such/store/digests.jsonl")).describe, find)
    return {step.label if step.label == "adopt" else step.name: step for step in steps}


def test_starts_stand_side_by_side(files: dict[str, Path]) -> None:
    steps = planned(files, "", "scratch", MODEL, str(files["bert"]), text=True)
    tasks = [name for name in steps if name.startswith("finetune")]
    assert tasks == [f"finetune-polarity{start}" for start in ("", "-scratch", f"-{MODEL}", "-bert")]
    assert len({steps[name].key for name in tasks}) == 4


def test_tasks_and_folders_of_one_name_are_told_apart(files: dict[str, Path], tmp_path: Path) -> None:
    other = shutil.copytree(files["bert"], tmp_path / "other" / "bert")
    (other / "vocab.txt").write_text("other")
    inits = str(files["bert"]), str(other)
    tasks = [
        {"task": "polarity", "path": str(files["lines"]), "init": init, "batch": batch}
        for init in inits
        for batch in (8, 9)
    ]
    recipe = Recipe.model_validate({"finetune": tasks})
    steps = plan(recipe, Digests(Path("/no/such/store/digests.jsonl")).describe, find)
    assert len({step.name for step in steps}) == len(steps) == 6
    for step in steps:
        expected = "adopt-bert" if step.label == "adopt" else "finetune-polarity-bert"
        assert step.name == f"{expected}-{step.key[:6]}"
    assert {begin.key for step in steps for begin in step.inputs.values()} == {
        one.key for one in steps if one.label == "adopt"
    }


@pytest.mark.parametrize("reference", [MODEL, f"pretrain/{MODEL}"])
def test_a_key_names_a_model_of_the_store_with_its_tokenizer(reference: str, files: dict[str, Path]) -> None:
    steps = planned(files, reference)
    inputs = steps[f"finetune-polarity-{MODEL}"].inputs
    assert {role: f"{step.label}/{step.variant}" for role, step in inputs.items()} == {
        "pretrain": f"pretrain/{MODEL}", "tokenizer": f"tokenizer/{VOCABULARY}",
    }  # fmt: skip
    assert inputs["pretrain"].recipe["inputs"] == {"tokenizer": f"tokenizer/{VOCABULARY}"}


def test_a_tuned_model_can_be_tuned_again(files: dict[str, Path]) -> None:
    inputs = planned(files, TUNED)[f"finetune-polarity-{TUNED}"].inputs
    assert inputs["pretrain"].label == "finetune"
    assert inputs["tokenizer"].label == "tokenizer"


def test_a_changed_folder_renames_its_tasks_and_a_moved_one_does_not(files: dict[str, Path], tmp_path: Path) -> None:
    before = {name: step.key for name, step in planned(files, str(files["bert"])).items()}
    moved = tmp_path / "elsewhere" / "bert"
    moved.parent.mkdir()
    shutil.move(files["bert"], moved)
    assert {name: step.key for name, step in planned(files, str(moved)).items()} == before
    (moved / "vocab.txt").write_text("other")
    after = {name: step.key for name, step in planned(files, str(moved)).items()}
    assert not set(after.values()) & set(before.values())


def test_pretraining_that_goes_on_takes_shape_and_tokenizer_of_its_start(files: dict[str, Path]) -> None:
    steps = planned(files, "", text=True, init=str(files["bert"]))
    assert list(steps) == ["corpus", "adopt", "examples-64", "pretrain", "finetune-polarity"]
    assert steps["pretrain"].inputs["init"] is steps["adopt"]
    for name in ("examples-64", "pretrain", "finetune-polarity"):
        assert steps[name].inputs["tokenizer"] is steps["adopt"]
    assert json.loads(json.dumps(steps["pretrain"].recipe))["config"]["model"] is None


def test_a_start_that_is_no_model_is_refused(files: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=rf"^recipe\.finetune\.0\.init={VOCABULARY}: is tokenizer/.*expected a model"):
        planned(files, VOCABULARY)
    (files["bert"] / "model.safetensors").unlink()
    with pytest.raises(
        ConfigError, match=r"^recipe\.finetune\.0\.init=.*bert: holds no model\.safetensors; name a Hugg"
    ):
        planned(files, str(files["bert"]))


def test_a_key_needs_a_store(files: dict[str, Path]) -> None:
    tree = {"finetune": [{"task": "polarity", "path": str(files["lines"]), "init": MODEL}]}
    with pytest.raises(ConfigError, match=rf"^{MODEL}: there is no store to find it in; name a folder"):
        plan(Recipe.model_validate(tree), Digests(Path("/no/such/store/digests.jsonl")).describe)


def test_rows_longer_than_another_model_reads_are_not_the_recipes_affair(files: dict[str, Path]) -> None:
    def recipe(init: str) -> Recipe:
        task = {"task": "polarity", "path": str(files["lines"]), "init": init, "sequence_length": 256}
        model = {"max_positions": 128}
        return Recipe.model_validate({"model": model, "phases": [{"sequence_length": 64}], "finetune": [task]})

    assert recipe(MODEL)
    for init in ("", "scratch"):
        with pytest.raises(ValueError, match=r"recipe\.finetune\.0\.sequence_length=256 exceeds"):
            recipe(init)


def test_the_recipe_for_a_field_reads_on_with_the_tokenizer_of_its_start(files: dict[str, Path]) -> None:
    config = load(
        [Path(__file__).parents[1] / "configs" / "domain.yaml"],
        [
            f"recipe.pretrain.init={files['bert']}",
            f"recipe.corpus.sources=[{{kind: text, path: '{files['text']}'}}]",
        ],
    )
    steps = plan(config.recipe, Digests(Path("/no/such/store/digests.jsonl")).describe)
    assert [step.name for step in steps] == ["corpus", "adopt-bert", "examples-128", "pretrain"]


def test_the_recipe_for_glue_tunes_a_model_made_elsewhere_with_default_settings(files: dict[str, Path]) -> None:
    for name in ("mrpc", "sst2"):
        (files["bert"].parent / name).mkdir()
        (files["bert"].parent / name / "train.tsv").write_text("a header\n")
    places = [f"recipe.finetune.{at}.path={files['bert'].parent / name}" for at, name in enumerate(("mrpc", "sst2"))]
    starts = [f"recipe.finetune.{at}.init={files['bert']}" for at in range(2)]
    config = load([Path(__file__).parents[1] / "configs" / "glue.yaml"], [*places, *starts])
    steps = plan(config.recipe, Digests(Path("/no/such/store/digests.jsonl")).describe)
    assert [step.name for step in steps] == ["adopt-bert", "finetune-mrpc-bert", "finetune-sst2-bert"]
    for task in config.recipe.finetune:
        assert task.model_dump(exclude={"task", "path", "init"}) == FinetuneConfig().model_dump(
            exclude={"task", "path", "init"}
        )


def test_the_recipe_that_shows_transfer_pretrains_on_books_and_wiki_text(files: dict[str, Path]) -> None:
    places = [f"recipe.corpus.sources.{at}.path={files['text']}" for at in range(3)]
    config = load([Path(__file__).parents[1] / "configs" / "transfer.yaml"], places)
    steps = plan(config.recipe, Digests(Path("/no/such/store/digests.jsonl")).describe)
    assert [step.name for step in steps] == ["corpus", "tokenizer", "examples-192", "pretrain"]
