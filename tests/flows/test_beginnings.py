"""Models that began elsewhere or with random weights: their card, their summary, their page and their trace say what is not known."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from flows.card import model_card
from flows.graph import graph
from flows.origins import origins_of, whole
from flows.recording import candidate
from flows.training_data import training_data
from pipeline.core.store import Artifact
from tests.flows.conftest import Command, Shop, bert_in, shop_in
from tests.flows.test_cli import FACTS, WEIGHTS

SIZES = {"architecture": "bert", "layers": 1, "width": 16, "heads": 2, "max_positions": 48, "vocab_size": 83}
TOKENIZER = {"tokenizer.json": "{}", "tokenizer_config.json": "{}", "vocab.txt": "[PAD]"}
SCORES = {"rows": {"train": 36, "dev": 4}, "dev": {"accuracy": 0.75}, "parameters": 1234, "job": "finetune"}
TRIED = {"trials": 6, "seeds": {"accuracy": {"mean": 0.7, "deviation": 0.05, "n": 2}}, "chosen": {"batch": 16}}


@dataclass(frozen=True)
class Made:
    """A store with a model of each beginning."""

    shop: Shop
    adopted: Artifact
    tuned: Artifact
    swept: Artifact
    scratch: Artifact
    read_on: Artifact
    read_on_tuned: Artifact


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("beginnings")
    shop, bert = shop_in(folder), bert_in(folder / "bert")
    (folder / "rows.cor").write_text("__label__pos good\n__label__neg bad\n" * 20)
    task = f"task: polarity, path: {folder / 'rows.cor'}, sequence_length: 32"
    elsewhere, random = (f"recipe.finetune=[{{{task}, init: {init}}}]" for init in (bert, "scratch"))
    trials = f"recipe.finetune=[{{{task}, init: {bert}, sweep: {{batch: [16, 32]}}}}]"
    read_on, then = f"recipe.pretrain.init={bert}", f"recipe.finetune=[{{{task}}}]"
    shop.make("corpus")
    shop.pretend("tokenizer", TOKENIZER, {"vocab_size": 300})
    weights = WEIGHTS | {"config.json": (bert / "config.json").read_text()}
    return Made(
        shop,
        adopted=shop.pretend("adopt-bert", weights | TOKENIZER, SIZES, elsewhere),
        tuned=shop.pretend("finetune-polarity-bert", weights, SCORES | {"init": "adopt/x"}, elsewhere),
        swept=shop.pretend("sweep-polarity-bert", weights, SCORES | TRIED, trials),
        scratch=shop.pretend("finetune-polarity-scratch", weights, SCORES | {"init": "scratch"}, random),
        read_on=_read_on(shop, weights, read_on),
        read_on_tuned=shop.pretend("finetune-polarity", weights, SCORES, read_on, then),
    )


def _read_on(shop: Shop, weights: dict[str, str], override: str) -> Artifact:
    counts = {"examples": 2, "tokens": 40}
    shop.pretend("examples-32", {}, {"train": counts, "held_out": counts, "unigram_entropy_nats": 5.0}, override)
    return shop.pretend("pretrain", weights, FACTS | {"parameters": 10}, override)


def card_of(made: Made, model: Artifact) -> ModelCard:
    return ModelCard(model_card(origins_of(made.shop.store, model), None))


def test_the_line_of_a_model_goes_back_to_where_it_began(made: Made) -> None:
    for model, labels in (
        (made.adopted, ["adopt"]),
        (made.tuned, ["adopt", "finetune"]),
        (made.swept, ["adopt", "sweep"]),
        (made.scratch, ["finetune"]),
        (made.read_on_tuned, ["adopt", "pretrain", "finetune"]),
    ):
        origins = origins_of(made.shop.store, model)
        assert [one.label for one in origins.line] == labels
        assert origins.tokenizer.label == ("tokenizer" if model is made.scratch else "adopt")


def test_the_card_of_a_model_that_began_elsewhere_says_what_is_not_known(made: Made) -> None:
    card = card_of(made, made.tuned)
    data = card.data.to_dict()
    assert "language" not in data
    assert data["tags"] == ["pretrace", "bert", "finetune"]
    assert data["co2_eq_emissions"]["training_type"] == "fine-tuning"
    for words in (
        "1 layer of width 16 with 1,234 parameters, made elsewhere (what that one was trained on is not known), then fine",
        "Vocabulary: 83 pieces, those of the model made elsewhere; what they were learned from is not known",
        "Language: not recorded",
        "that of the model made elsewhere in view",
        "It began as a model made elsewhere; what that one was trained on is not known.",
        "What the model made elsewhere had cost its makers is not known and not counted.",
    ):
        assert words in card.text
    assert "corpus" not in card.text.lower()


def test_the_card_of_a_model_that_read_on_tells_both(made: Made) -> None:
    card = card_of(made, made.read_on_tuned)
    assert card.data.to_dict()["language"] == "en"
    assert card.data.to_dict()["co2_eq_emissions"]["training_type"] == "pre-training and fine-tuning"
    assert "made elsewhere (what that one was trained on is not known), then pretrained further on " in card.text
    assert "Language: en; that of the model made elsewhere is not recorded" in card.text
    assert card.text.index("### Pretraining (pretrain/") < card.text.index("### Fine-tuning (finetune-polarity)")


def test_the_card_of_a_model_that_was_never_pretrained_says_so(made: Made) -> None:
    card = card_of(made, made.scratch)
    assert "never pretrained, fine-tuned from random weights on the task polarity" in card.text
    assert "It was not pretrained: the labelled rows are all that it was trained on." in card.text
    assert "elsewhere (" not in card.text


def test_the_card_of_the_best_of_many_trials_says_how_much_seeds_change(made: Made) -> None:
    card = card_of(made, made.swept)
    assert "The best of 6 trials by the development rows of the task: elsewhere it may do worse." in card.text
    assert "- accuracy over 2 seeds: 0.7, standard deviation 0.05" in card.text
    assert "| batch | 16 |" in card.text


def test_a_model_brought_from_elsewhere_has_a_card_too(made: Made) -> None:
    data = card_of(made, made.adopted).data.to_dict()
    assert (data["pipeline_tag"], "model-index" in data) == ("feature-extraction", False)
    assert "training_type" not in data["co2_eq_emissions"]


def test_the_summary_lists_a_model_made_elsewhere_with_its_digests(made: Made) -> None:
    text = training_data(origins_of(made.shop.store, made.read_on_tuned))
    (config, weights) = made.adopted.manifest["sources"]["model"]
    assert f"| model.safetensors | {weights['bytes']} | `{weights['sha256']}` |" in text
    assert f"| config.json | {config['bytes']} | `{config['sha256']}` |" in text
    assert "one made elsewhere, whose model.safetensors has the sha256 " in text
    assert f"`pretrain/{made.read_on.key}`, of the same lineage" in text
    assert "words, " in text
    assert "what the model made elsewhere was trained on is not known" in text


def test_the_summary_tells_a_corpus_of_which_only_the_vocabulary_was_learned(made: Made) -> None:
    text = training_data(origins_of(made.shop.store, made.scratch))
    assert "Only the vocabulary was learned from it." in text
    assert "Models that it depends on: none, trained from random weights" in text
    assert "nothing beside the labelled files of section 2.6 was trained on here\n" in text


def test_a_model_that_read_on_is_served_with_its_own_weights_and_the_tokenizer_it_began_with(made: Made) -> None:
    files = candidate(made.shop.store, made.read_on, "fruit", "sqlite:///mlflow.db").files
    assert {name: path.parent for name, path in files.items()} == dict.fromkeys(WEIGHTS, made.read_on.path) | (
        dict.fromkeys(TOKENIZER, made.adopted.path)
    )


def test_a_model_made_elsewhere_is_a_model_in_the_graph_with_its_files(made: Made) -> None:
    nodes, edges = graph(whole(made.shop.store, [made.swept]))
    kinds = {node.lines[0]: node.kind for node in nodes}
    assert kinds == {"model": "outside", "tokenizer": "outside", "adopt": "model", "polarity train": "outside"} | {
        "sweep-polarity": "model"
    }
    assert (f"adopt/{made.adopted.key}", f"sweep/{made.swept.key}") in edges


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("adopted", "was made elsewhere; which documents that model has seen is not known"),
        (
            "tuned",
            "began as adopt/{adopted}, which was made elsewhere; which documents that model has seen is not known",
        ),
        ("scratch", "began with random weights and was never pretrained; it has seen the rows of its task alone"),
    ],
)
def test_a_trace_through_a_model_that_read_no_corpus_here_says_why(
    pretrace: Command, made: Made, name: str, told: str
) -> None:
    model: Artifact = getattr(made, name)
    said = pretrace("trace", "walnuts", "--model", model.key, "--store", made.shop.store.root)
    assert said.code == 2
    assert said.err == f"pretrace: {model.label}/{model.key}: {told.format(adopted=made.adopted.key)}\n"


def test_an_exported_model_that_began_elsewhere_is_proved_down_to_the_folder_it_is_from(
    pretrace: Command, made: Made, tmp_path: Path
) -> None:
    root = made.shop.store.root
    for model in (made.tuned, made.adopted):
        folder = tmp_path / model.key
        assert pretrace("export", model.key, folder, "--store", root).code == 0
        assert {path.name for path in folder.iterdir()} >= {*WEIGHTS, *TOKENIZER, "README.md", "TRAINING_DATA.md"}
        assert pretrace("audit", folder, "--store", root).code == 0
    outside = made.shop.config.parent / "bert" / "vocab.txt"
    before = outside.read_text()
    outside.write_text(before.replace("[MASK]", "[MOSK]"))
    said = pretrace("audit", made.tuned.key, "--store", root)
    outside.write_text(before)
    assert said.code == 4
    assert re.search(r"bert/vocab\.txt\W+changed", said.out + said.err)
