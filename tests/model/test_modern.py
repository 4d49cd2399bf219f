"""The modern architecture against transformers' ModernBERT, and its format both ways."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.files import sha256_of
from pipeline.model import huggingface
from pipeline.model.encoder import initialize
from pipeline.model.heads import Learner
from pipeline.model.shape import Shape, read_shape
from pipeline.objectives import OBJECTIVES
from pipeline.objectives.labelled import objective_of
from tests.model.conftest import MODERN, learner_of, learner_with, padded_rows, state_of

ODD = replace(MODERN, layers=3, width=60, heads=5, intermediate_size=77, dropout=0.1)


def _classifier(shape: Shape, classes: int) -> Learner:
    return learner_with(shape, {"classify": objective_of("classify", classes, choices=1)})


@pytest.mark.parametrize("shape", [MODERN, ODD], ids=["tiny", "odd"])
def test_an_export_gives_transformers_the_same_logits(shape: Shape, tmp_path: Path) -> None:
    learner = learner_of(shape, ["mlm"])
    huggingface.save(tmp_path, shape, state_of(learner))
    theirs, notes = transformers.ModernBertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(notes[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    rows = padded_rows(shape)
    assert rows.attended_BT is not None
    with torch.no_grad():
        expected_BTV = theirs.eval()(rows.ids_BT, attention_mask=rows.attended_BT.long()).logits
        hidden_BTD = learner.encoder(rows.ids_BT, rows.segments_BT, rows.attended_BT)
        logits_MV = learner.heads["mlm"](hidden_BTD[rows.attended_BT], learner.encoder.word_embedding_VD)
    torch.testing.assert_close(logits_MV, expected_BTV[rows.attended_BT], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("objectives", "kind"), [(["mlm"], "ModernBertForMaskedLM"), ([], "ModernBertModel")], ids=["mlm", "bare"]
)
def test_an_export_comes_through_transformers_and_back_to_the_byte(
    objectives: list[str], kind: str, tmp_path: Path
) -> None:
    huggingface.save(tmp_path / "ours", ODD, state_of(learner_of(ODD, objectives)))
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["architectures"] == [kind]
    getattr(transformers, kind).from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    shape, state = huggingface.load(tmp_path / "theirs")
    assert shape == ODD
    huggingface.save(tmp_path / "again", shape, state)
    for name in ("config.json", "model.safetensors"):
        assert sha256_of(tmp_path / "ours" / name) == sha256_of(tmp_path / "again" / name)


def test_fine_tuning_starts_from_the_pretrained_encoder_and_the_transform_of_its_head(tmp_path: Path) -> None:
    pretrained = learner_of(MODERN, ["mlm"])
    huggingface.save(tmp_path, MODERN, state_of(pretrained))
    classifier = _classifier(MODERN, 3)
    initialize(classifier, MODERN, seed=1)
    assert huggingface.start_from(classifier, tmp_path) == [
        "heads.classify.classifier.weight", "heads.classify.classifier.bias",
    ]  # fmt: skip
    assert torch.equal(classifier.heads["classify"].transform.weight, pretrained.heads["mlm"].transform.weight)
    assert torch.equal(classifier.encoder.layers[1].outer.weight, pretrained.encoder.layers[1].outer.weight)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types="),
        ({"layer_types": None}, "layer_types="),
        ({"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 160000.0}}}, "rope_theta=160000.0"),
        ({"norm_bias": True}, "norm_bias=True, which our encoder has not; expected False"),
        ({"classifier_pooling": "mean"}, "classifier_pooling='mean'"),
    ],
)  # fmt: skip
def test_a_modernbert_that_computes_otherwise_is_refused(
    settings: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    huggingface.save(tmp_path, MODERN, state_of(learner_of(MODERN, ["mlm"])))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    with pytest.raises(DataError, match=complaint):
        read_shape(tmp_path)


def test_the_format_has_names_for_one_head(tmp_path: Path) -> None:
    state = state_of(learner_of(MODERN, ["mlm"])) | {"heads.classify.classifier.bias": torch.zeros(2)}
    with pytest.raises(DataError, match="heads classify, mlm: the ModernBERT format has names for one of"):
        huggingface.save(tmp_path, MODERN, state)


@pytest.mark.parametrize("objective", ["nsp", "sop"])
def test_there_is_no_head_for_pairs_without_segments(objective: str) -> None:
    with pytest.raises(ConfigError, match=r"recipe\.model\.architecture=modern has no segments"):
        Learner(MODERN, {objective: OBJECTIVES[objective]})
