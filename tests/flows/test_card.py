"""The model card and the summary of training data: what Hugging Face reads of them, what people do, and that no hand wrote them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from flows.card import model_card
from flows.export import texts_of
from flows.markdown import plain
from flows.origins import Origins, origins_of
from flows.training_data import training_data
from pipeline.core.errors import ConfigError
from pipeline.core.store import Artifact
from tests.flows.conftest import MADE, Command, Shop, shop_in
from tests.flows.test_cli import FACTS, WEIGHTS

HOSTILE = 'enwiki|20240901*_<script>alert(1)</script>`[x](javascript:y)\n# --- "q"'
SCORES = {"rows": {"train": 8, "dev": 2}, "dev": {"accuracy": 0.75}, "parameters": 10, "held_out_loss": 0.5}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop that no test changes for the next one: a pretrained model, and one fine-tuned from it."""
    folder = tmp_path_factory.mktemp("cards")
    made = shop_in(folder)
    for name in ("corpus", "tokenizer", "examples-32"):
        made.make(name)
    made.pretend("pretrain", WEIGHTS, FACTS | {"parameters": 1234, "steps": 1, "tokens": 64})
    (folder / "rows.cor").write_text("__label__pos good\n__label__neg bad\n" * 20)
    task = f"recipe.finetune=[{{task: polarity, path: {folder / 'rows.cor'}, sequence_length: 32}}]"
    made.pretend("finetune-polarity", WEIGHTS, SCORES, task)
    return made


@pytest.fixture
def pretrained(shop: Shop) -> Origins:
    return origins_of(shop.store, shop.store.all("pretrain")[0])


@pytest.fixture
def tuned(shop: Shop) -> Origins:
    return origins_of(shop.store, shop.store.all("finetune")[0])


def tell(origins: Origins, label: str, part: str, **changed: Any) -> None:
    """Change what a manifest says, in memory."""
    for artifact in origins.everything:
        if artifact.label == label:
            artifact.manifest[part] = artifact.manifest[part] | changed


def test_hugging_face_reads_the_card_of_a_pretrained_model(pretrained: Origins) -> None:
    card = ModelCard(model_card(pretrained, "apache-2.0"))
    data = card.data.to_dict()
    assert (data["language"], data["license"], data["library_name"]) == ("en", "apache-2.0", "transformers")
    assert (data["pipeline_tag"], data["tags"]) == ("fill-mask", ["pretrace", "bert", "pretrain"])
    spent = sum(artifact.manifest["made"]["emissions_kg"] for artifact in pretrained.everything)
    assert len(pretrained.everything) == 4
    assert data["co2_eq_emissions"]["emissions"] == pytest.approx(1000 * spent, rel=1e-5)
    assert data["co2_eq_emissions"]["training_type"] == "pre-training"
    scores = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert scores == {"mlm loss": 3.0, "mlm perplexity": 20.1}
    assert {result.task_type for result in card.data.eval_results} == {"fill-mask"}


def test_hugging_face_reads_the_card_of_a_fine_tuned_model(tuned: Origins, pretrained: Origins) -> None:
    card = ModelCard(model_card(tuned, None))
    data = card.data.to_dict()
    assert "license" not in data
    assert (data["pipeline_tag"], data["tags"][-1]) == ("text-classification", "finetune")
    assert data["co2_eq_emissions"]["training_type"] == "pre-training and fine-tuning"
    extra = 1000 * MADE["emissions_kg"]  # type: ignore[operator]
    both = [
        ModelCard(model_card(one, None)).data.to_dict()["co2_eq_emissions"]["emissions"] for one in (tuned, pretrained)
    ]
    assert both[0] - both[1] == pytest.approx(extra, rel=1e-3)
    (score,) = card.data.eval_results
    assert (score.task_type, score.dataset_name, score.metric_type, score.metric_value) == (
        "text-classification",
        "polarity",
        "accuracy",
        0.75,
    )
    assert "fine-tuned on the task polarity" in card.text
    assert "labelled rows of polarity: 8 train, 2 dev" in card.text


def test_the_card_tells_what_the_manifests_say(pretrained: Origins) -> None:
    made = {
        "energy_method": "estimated from rated power: processor 8 W by load, memory 20 W",
        "country": "FRA",
        "grid_g_per_kwh": 56.0,
        "grid_source": "codecarbon 3.3.2",
        "accelerator": {"processor": "A Processor", "threads": 2, "gpus": []},
        "operator": "Ada",
        "attempts": 3,
        "host": "secret-host",
    }
    for label in ("corpus", "tokenizer", "examples", "pretrain"):
        tell(pretrained, label, "made", **made)
    card = ModelCard(model_card(pretrained, None))
    emissions = card.data.to_dict()["co2_eq_emissions"]
    assert emissions["source"].startswith("codecarbon, estimated from rated power: ")
    assert (emissions["geographical_location"], emissions["hardware_used"]) == ("FRA", "A Processor, 2 threads")
    for words in (
        "Made by: Ada",
        "Electricity of FRA: 56 g CO2e a kWh (codecarbon 3.3.2).",
        f"| pretrain | `pretrain/{pretrained.model.key}` | `{pretrained.model.manifest['digest']}` |",
        f"pretrace audit {pretrained.model.key}",
        "| 32 | 1 | 2 |",
        "| learning rate | 0.0001 |",
        "Seen: 1 steps, 64 tokens.",
        "| mlm perplexity | 20.1 |",
    ):
        assert words in card.text
    assert re.search(r"\| pretrain \| 1 Wh \| 500 mg \| 1 min 1 s \| 3 \|", card.text)
    assert "secret-host" not in card.text
    tell(pretrained, "pretrain", "made", accelerator={"processor": "", "threads": 2, "gpus": ["H200", "H200"]})
    hardware = ModelCard(model_card(pretrained, None)).data.to_dict()["co2_eq_emissions"]["hardware_used"]
    assert hardware == "2 x H200"


def test_a_model_that_learned_nothing_says_so(pretrained: Origins) -> None:
    assert "learned nothing" not in model_card(pretrained, None)
    tell(pretrained, "pretrain", "facts", held_out_mlm_loss=9.0)
    assert "learned nothing from context" in model_card(pretrained, None)


def test_nothing_held_out_is_nothing_measured(pretrained: Origins) -> None:
    pretrained.model.manifest["facts"] = {"parameters": 10}
    card = ModelCard(model_card(pretrained, None))
    assert "Nothing was held out, so nothing was measured." in card.text
    assert "model-index" not in card.data.to_dict()


def test_the_summary_has_the_sections_of_the_template(pretrained: Origins, shop: Shop) -> None:
    text = training_data(pretrained)
    headings = re.findall(r"^#+ (\d[\d.]*) ", text, re.MULTILINE)
    assert headings == [
        "1.",
        "1.1",
        "1.2",
        "1.3",
        "2.",
        "2.1",
        "2.2",
        "2.3",
        "2.4",
        "2.5",
        "2.6",
        "3.",
        "3.1",
        "3.2",
        "3.3",
    ]
    (entry,) = pretrained.corpora[0].manifest["sources"]["sources.0"]
    assert f"| texts.txt | {entry['bytes']:,} | `{entry['sha256']}` |" in text
    assert "Kept of it: 40 documents" in text
    assert "less than 1 billion tokens" in text
    assert "Period of collection: not recorded." in text
    assert "### 2.5 Synthetic data\n\nNone recorded; files whose origin is not known are listed in 2.6." in text
    assert str(shop.store.root.parent) not in text


def test_sources_of_known_origin_are_told_by_their_kind(pretrained: Origins) -> None:
    sources = [{"kind": "wikipedia", "name": "", "path": ""}, {"kind": "warc", "name": "pages"}]
    tell(pretrained, "corpus", "config", sources=sources)
    entry = {"bytes": 1000, "sha256": "ab" * 32}
    names = {"sources.0": "enwiki-20240901.xml", "sources.1": "crawl.warc.gz"}
    pretrained.corpora[0].manifest["sources"] = {role: [{"name": name, **entry}] for role, name in names.items()}
    text = training_data(pretrained)
    public, crawled = (re.search(rf"### 2\.{at} .*?\n(.*?)\n### ", text, re.DOTALL) for at in (1, 3))
    assert public is not None
    assert crawled is not None
    assert "**wikipedia**" in public[1]
    assert "Period of collection: 2024-09-01 (by the file's name)." in public[1]
    assert "**pages**" in crawled[1]
    assert "crawled nothing itself" in crawled[1]
    assert "### 2.4 User data\n\nNone.\n" in text
    assert "### 2.6 Other sources of data\n\nNone.\n" in text


def test_labelled_files_of_a_fine_tuned_model_are_sources_as_well(tuned: Origins) -> None:
    text = training_data(tuned)
    (entry,) = tuned.model.manifest["sources"]["train"]
    assert f"| rows.cor | {entry['bytes']} | `{entry['sha256']}` |" in text
    assert f"`pretrain/{tuned.pretrained[0].key}`, of the same lineage" in text


def test_what_comes_from_outside_stays_text(pretrained: Origins) -> None:
    sources = [{"kind": "text", "name": HOSTILE}]
    tell(pretrained, "corpus", "config", sources=sources, language=HOSTILE)
    tell(pretrained, "corpus", "facts", dropped={f"{HOSTILE}: {HOSTILE}": 1})
    tell(pretrained, "pretrain", "made", operator=HOSTILE, at=HOSTILE)
    pretrained.corpora[0].manifest["sources"]["sources.0"][0]["name"] = HOSTILE
    for text in (model_card(pretrained, None), training_data(pretrained)):
        body = text.split("\n---\n", 1)[-1]
        outside = re.sub(r"\\[\\`*_\[\]<>|~&]", "", body)
        assert "<" not in outside
        assert "](javascript" not in outside
        assert all(
            line.startswith("# ") is (at == 0) for at, line in enumerate(re.findall(r"^# .*$", body, re.MULTILINE))
        )
        rows = [line for line in outside.splitlines() if line.startswith("|")]
        assert all(line.count("|") - 1 in (2, 3, 5) for line in rows)
    metadata = yaml.safe_load(model_card(pretrained, None).split("---\n")[1])
    assert metadata["language"] == HOSTILE


def test_the_same_lineage_gives_the_same_bytes(shop: Shop) -> None:
    model = shop.store.all("finetune")[0]
    again = Artifact(model.path, json.loads((model.path / "manifest.json").read_text()))
    assert texts_of(shop.store, model, "mit") == texts_of(shop.store, again, "mit")
    assert texts_of(shop.store, model, "mit") != texts_of(shop.store, model, None)


@pytest.mark.parametrize("name", ["MIT License", "", "mit\n", "../x"])
def test_a_licence_is_named_as_the_hub_does(pretrace: Command, shop: Shop, tmp_path: Path, name: str) -> None:
    model = shop.store.all("pretrain")[0]
    with pytest.raises(
        ConfigError, match=r"is no name of a licence; write it as Hugging Face does, such as apache-2\.0"
    ):
        texts_of(shop.store, model, name)
    said = pretrace("export", model.key, tmp_path / "bert", "--license", name, "--store", shop.store.root)
    assert said.code == 2
    assert not (tmp_path / "bert").exists()


def test_signs_of_markdown_are_taken_as_letters() -> None:
    assert plain("a|b\n<c>_d_`e`") == r"a\|b \<c\>\_d\_\`e\`"
