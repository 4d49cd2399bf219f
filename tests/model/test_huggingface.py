"""The model against transformers' own, and the format both ways."""

import json
from pathlib import Path

import pytest
import torch
import transformers

from pipeline.core.errors import DataError
from pipeline.core.files import sha256_of
from pipeline.model import huggingface
from pipeline.model.heads import Learner
from pipeline.model.shape import SIZES, Shape
from pipeline.objectives.labelled import objective_of
from pipeline.tasks.task import Kind
from tests.model.conftest import ODD, TINY, learner_of, learner_with, padded_rows, state_of

BOTH = ("mlm", "nsp")
SHAPES = {"tiny": TINY, "odd": ODD}

_CONFIG = {
    "hidden_size": 8, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9,
    "max_position_embeddings": 4,
}  # fmt: skip


@pytest.mark.parametrize("size", SHAPES)
def test_an_export_gives_transformers_the_same_logits(size: str, tmp_path: Path) -> None:
    shape = SHAPES[size]
    learner = learner_of(shape, BOTH)
    huggingface.save(tmp_path, shape, state_of(learner))
    theirs, notes = transformers.BertForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(notes[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    rows = padded_rows(shape)
    ids_BT, segments_BT, attended_BT = rows.ids_BT, rows.segments_BT, rows.attended_BT
    assert attended_BT is not None
    with torch.no_grad():
        expected = theirs.eval()(ids_BT, attention_mask=attended_BT.long(), token_type_ids=segments_BT)
        hidden_BTD = learner.encoder(ids_BT, segments_BT, attended_BT)
        logits_MV = learner.heads["mlm"](hidden_BTD[attended_BT], learner.encoder.word_embedding_VD)
        logits_BC = learner.heads["nsp"](hidden_BTD)
    torch.testing.assert_close(logits_MV, expected.prediction_logits[attended_BT], atol=1e-5, rtol=0)
    torch.testing.assert_close(logits_BC, expected.seq_relationship_logits, atol=1e-5, rtol=0)


def test_saving_what_was_loaded_gives_the_same_bytes(tmp_path: Path) -> None:
    shape = SHAPES["odd"]
    huggingface.save(tmp_path / "a", shape, state_of(learner_of(shape, BOTH)))
    loaded_shape, state = huggingface.load(tmp_path / "a")
    huggingface.save(tmp_path / "b", loaded_shape, state)
    assert loaded_shape == shape
    for name in ("config.json", "model.safetensors"):
        assert sha256_of(tmp_path / "a" / name) == sha256_of(tmp_path / "b" / name)


def test_what_transformers_saves_comes_back_to_it_unchanged(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=90, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
    )
    theirs = transformers.BertForPreTraining(config)
    theirs.save_pretrained(tmp_path / "theirs")
    huggingface.save(tmp_path / "ours", *huggingface.load(tmp_path / "theirs"))
    again = transformers.BertForPreTraining.from_pretrained(tmp_path / "ours")
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def _classifier(shape: Shape, classes: int) -> Learner:
    return learner_with(shape, {"classify": objective_of("classify", classes, choices=1)})


@pytest.mark.parametrize(("objectives", "kind"), [(["mlm"], "BertForMaskedLM"), ([], "BertModel")])
def test_the_class_for_transformers_follows_from_the_heads(objectives: list[str], kind: str, tmp_path: Path) -> None:
    shape = TINY
    huggingface.save(tmp_path, shape, state_of(learner_of(shape, objectives)))
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [kind]
    _, notes = getattr(transformers, kind).from_pretrained(tmp_path, output_loading_info=True)
    assert not notes["unexpected_keys"]
    assert {name for name in notes["missing_keys"] if "pooler" not in name} == set()


def test_fine_tuning_starts_from_the_pretrained_encoder_and_pooler(tmp_path: Path) -> None:
    shape = TINY
    pretrained = learner_of(shape, BOTH)
    huggingface.save(tmp_path, shape, state_of(pretrained))
    classifier = _classifier(shape, 3)
    missing = huggingface.start_from(classifier, tmp_path)
    assert missing == ["heads.classify.classifier.weight", "heads.classify.classifier.bias"]
    assert torch.equal(classifier.heads["classify"].pooler.weight, pretrained.heads["nsp"].pooler.weight)
    assert torch.equal(classifier.encoder.layers[1].outer.weight, pretrained.encoder.layers[1].outer.weight)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", ["classify", "regress", "tag"])
def test_the_output_layer_of_another_task_is_never_taken_over(kind: Kind, classes: int, tmp_path: Path) -> None:
    tuned = learner_with(TINY, {kind: objective_of(kind, 1 if kind == "regress" else classes, choices=1)})
    huggingface.save(tmp_path, TINY, state_of(tuned))
    other = learner_with(TINY, {kind: objective_of(kind, 1 if kind == "regress" else 2, choices=1)})
    drawn = other.heads[kind].classifier.weight.clone()
    assert huggingface.start_from(other, tmp_path) == [
        f"heads.{kind}.classifier.weight",
        f"heads.{kind}.classifier.bias",
    ]
    assert torch.equal(other.heads[kind].classifier.weight, drawn)
    assert torch.equal(other.encoder.layers[1].outer.weight, tuned.encoder.layers[1].outer.weight)


@pytest.mark.parametrize("kind", ["span", "choose"])
def test_outputs_that_mean_the_same_in_every_task_are_taken_over(kind: Kind, tmp_path: Path) -> None:
    tuned, other = (learner_with(TINY, {kind: objective_of(kind, 0, choices=4)}) for _ in range(2))
    huggingface.save(tmp_path, TINY, state_of(tuned))
    assert huggingface.start_from(other, tmp_path) == []


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    huggingface.save(tmp_path, TINY, state_of(learner_of(TINY, BOTH)))
    other = Shape(*SIZES["tiny"], vocab_size=1001, max_positions=64)
    with pytest.raises(DataError, match=r"encoder\.embeddings\.word\.weight is \(1000, 128\).*wants \(1001, 128\)"):
        huggingface.start_from(learner_of(other, BOTH), tmp_path)


def test_weights_for_fewer_layers_are_refused(tmp_path: Path) -> None:
    huggingface.save(tmp_path, TINY, state_of(learner_of(TINY, BOTH)))
    deeper = Shape(3, 128, 2, vocab_size=1000, max_positions=64)
    with pytest.raises(DataError, match=r"no weights for encoder\.layers\.2"):
        huggingface.start_from(learner_of(deeper, BOTH), tmp_path)


def test_two_pair_heads_have_no_names_in_the_format(tmp_path: Path) -> None:
    both = learner_of(TINY, ("nsp", "sop"))
    with pytest.raises(DataError, match="heads nsp, sop"):
        huggingface.save(tmp_path, TINY, state_of(both))


def test_a_stranger_among_the_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"encoder\.rotary: not a tensor of a BERT encoder"):
        huggingface.save(tmp_path, TINY, {"encoder.rotary": torch.zeros(1)})


def test_a_folder_that_is_no_bert_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"config\.json: missing"):
        huggingface.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(DataError, match="model_type='roberta', expected 'bert' or 'modernbert'"):
        huggingface.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **_CONFIG}))
    with pytest.raises(DataError, match=r"model\.safetensors: missing"):
        huggingface.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not the config.json of a model"),
        ('{"model_type": "be', "is not the config.json of a model"),
        ("[]", "model_type=None, expected 'bert' or 'modernbert'"),
        ("7", "is not the config.json of a model"),
        ('{"model_type": "bert"}', "has no num_hidden_layers; expected that of a BERT or ModernBERT"),
        (json.dumps({"model_type": "bert", **_CONFIG, "num_hidden_layers": "x"}), "num_hidden_layers is 'x'"),
    ],
)
def test_a_config_that_is_none_is_one_sentence(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(DataError, match=rf"config\.json: {reason}|config\.json: is not.*{reason}"):
        huggingface.load(tmp_path)
