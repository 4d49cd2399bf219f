"""The form that Prefect's page draws, and what becomes of what is filled in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.deploy import OFFERED, Form, bases, deployments, filled_in, mistake_in
from flows.serve import STORE
from pipeline.config import PipelineConfig, load
from pipeline.core.errors import ConfigError
from pipeline.running import Run

ROOT = Path(__file__).resolve().parents[2]
FORMS = [offered for offered in OFFERED if isinstance(offered, Form)]


@pytest.fixture(autouse=True)
def at_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv(STORE, raising=False)


def schema_of(form: Form[..., Any]) -> dict[str, Any]:
    return form.parameters.model_dump()


def leaves(schema: dict[str, Any], node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every field that a person fills in; a section is passed through, a list of sections into its items."""
    inner = node.get("$ref") or node.get("items", {}).get("$ref")
    if inner is None:
        yield path, node
        return
    for name, field in schema["definitions"][inner.rpartition("/")[2]]["properties"].items():
        yield from leaves(schema, field, f"{path}.{name}")


def all_leaves(form: Form[..., Any]) -> dict[str, dict[str, Any]]:
    schema = schema_of(form)
    return {path: node for name, root in schema["properties"].items() for path, node in leaves(schema, root, name)}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: str(form.name))
def test_every_field_of_the_form_is_described_and_has_a_default(form: Form[..., Any]) -> None:
    found = all_leaves(form)
    assert {path for path, node in found.items() if not node.get("description")} == set()
    assert {path for path, node in found.items() if "default" not in node} == set()
    assert len(found) > 60


def test_every_section_is_described() -> None:
    schema = schema_of(FORMS[0])
    assert {name for name, section in schema["definitions"].items() if not section.get("description")} == set()
    assert all(root.get("description") for root in schema["properties"].values())


def test_choices_are_drawn_as_choices_and_no_section_is_a_union() -> None:
    found = all_leaves(FORMS[0])
    assert found["recipe.tokenizer.algorithm"]["enum"] == ["wordpiece", "bpe", "unigram"]
    assert found["recipe.corpus.sources.truncated"]["enum"] == ["error", "keep"]
    assert found["run.device"]["enum"] == ["cpu", "cuda"]
    assert found["base"]["enum"] == bases()
    unions = {path: node["anyOf"] for path, node in found.items() if "anyOf" in node}
    assert {path for path, parts in unions.items() if any("$ref" in part for part in parts)} == set()


def test_a_base_is_any_file_of_settings_or_none() -> None:
    assert bases()[0] == ""
    assert set(bases()[1:]) == {path.name for path in (ROOT / "configs").glob("*.yaml")}


@pytest.mark.parametrize("base", bases()[1:])
def test_a_form_that_nobody_touched_is_its_base_whether_its_defaults_are_sent_or_not(base: str) -> None:
    wanted = load([ROOT / "configs" / base])
    sent = PipelineConfig().model_dump(mode="json")
    assert filled_in({"base": base}) == wanted
    assert filled_in({**sent, "base": base}) == wanted


def test_what_was_changed_is_laid_over_the_base() -> None:
    changed = {"recipe": {"seed": 7, "phases": [{"sequence_length": 64, "steps": 5}]}, "run": {"workers": 1}}
    config = filled_in({**changed, "base": "tiny.yaml"})
    tiny = load([ROOT / "configs" / "tiny.yaml"])
    assert (config.recipe.seed, config.recipe.phases[0].steps, config.run.workers) == (7, 5, 1)
    assert (config.recipe.corpus, config.recipe.pretrain) == (tiny.recipe.corpus, tiny.recipe.pretrain)
    assert config.run.micro_batch == tiny.run.micro_batch


def test_the_store_is_the_one_of_the_control_room_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert filled_in({}).run.store == Run().store
    monkeypatch.setenv(STORE, "/rooms/store")
    assert filled_in({}).run.store == "/rooms/store"
    assert filled_in({"run": {"store": "other"}}).run.store == "other"
    assert filled_in({"base": "cluster.yaml"}).run.store == "/shared/pretrace"


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"recipe": {"sed": 7}}, "recipe.sed: is not a setting; did you mean recipe.seed?"),
        ({"recpie": {}}, "recpie: is not a setting; did you mean recipe?"),
        ({"run": {"workers": 0}}, "run.workers=0: input should be greater than or equal to 1"),
        ({"base": "large.yml"}, "base=large.yml: is no file of configs; there are "),
        ({"base": "../setup.yaml"}, "base=../setup.yaml: is no file of configs; there are "),
        ({"recipe": 7}, "recipe=7: input should be a valid dictionary or instance of Recipe"),
    ],
)
def test_a_mistake_is_the_sentence_of_the_command_line(form: dict[str, Any], sentence: str) -> None:
    said = mistake_in("data", form)
    assert said is not None
    assert said.startswith(sentence)
    with pytest.raises(ConfigError) as error:
        FORMS[0].validate_parameters(form)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"what": "968d2dc1321c"}, None),
        ({"key": "968d2dc1321c"}, "key: is not a setting of an audit; known is what"),
        ({}, "what: names no artifact; give a key, an exported folder or a registered model"),
    ],
)
def test_an_audit_is_asked_for_one_thing(parameters: dict[str, Any], sentence: str | None) -> None:
    assert mistake_in("audit", parameters) == sentence


def test_runs_of_others_are_none_of_our_business() -> None:
    assert mistake_in(None, {"anything": 1}) is None


def test_there_are_five_deployments_each_found_by_its_module() -> None:
    found = {deployment.name: deployment.entrypoint for deployment in deployments()}
    names = ["pretraining", "data", "pretrain", "finetune", "audit"]
    assert found == {name: f"flows.deploy.{name}" for name in names}
    assert all(deployment.description for deployment in deployments())
