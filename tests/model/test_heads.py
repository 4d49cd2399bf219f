"""The heads of fine-tuned models against those of transformers: logits, losses, names both ways."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from pipeline.core.files import sha256_of
from pipeline.model import huggingface
from pipeline.model.heads import Learner
from pipeline.model.shape import Shape
from pipeline.objectives import Terms
from pipeline.objectives.labelled import by_row, objective_of
from tests.model.conftest import BOTH, ODD, Rows, learner_with, packed_rows, padded_rows, state_of

CHOICES, CLASSES = 2, 5
CLASSES_OF = {
    "classify": ("ForSequenceClassification", ("a", "b", "c", "d", "e")),
    "regress": ("ForSequenceClassification", ()),
    "choose": ("ForMultipleChoice", ()),
    "span": ("ForQuestionAnswering", ()),
    "tag": ("ForTokenClassification", ("O", "B-X", "I-X", "B-Y", "I-Y")),
}


@dataclass(frozen=True)
class Case:
    """A learner of some kind, and rows with labels for it."""

    learner: Learner
    rows: Rows
    labels: dict[str, Tensor]  # as transformers takes them


def case_of(kind: str, shape: Shape) -> Case:
    """Make rows with padding, but for spans: to transformers, padding is a candidate as well."""
    learner = learner_with(shape, {kind: objective_of(kind, CLASSES, CHOICES)})
    rows = padded_rows(shape)
    assert rows.attended_BT is not None
    every_M = rows.attended_BT.reshape(-1).nonzero()[:, 0]
    if kind == "classify":
        rows, labels = replace(rows, label_B=torch.tensor([0, 4, -100, 1])), {"labels": torch.tensor([0, 4, -100, 1])}
    elif kind == "regress":
        label_B = torch.tensor([0.5, 2.0, -3.0, 1.25])
        rows, labels = replace(rows, label_B=label_B), {"labels": label_B}
    elif kind == "choose":
        rows, labels = replace(rows, label_B=torch.tensor([1, 1, 0, 0])), {"labels": torch.tensor([1, 0])}
    elif kind == "tag":
        label_M = torch.arange(len(every_M)) % CLASSES
        at_M, label_BT = every_M[::3], torch.full(rows.ids_BT.shape, -100)
        label_BT.view(-1)[at_M] = label_M[::3]
        rows, labels = replace(rows, predicted_M=at_M, labels_M=label_M[::3]), {"labels": label_BT}
    else:
        every_M = torch.arange(rows.ids_BT.numel())
        whole = replace(rows, ids_BT=rows.ids_BT.clamp(min=5), attended_BT=None, predicted_M=every_M)
        start_B, end_B = torch.tensor([3, 0, 5, 8]), torch.tensor([9, 0, 5, 39])
        rows = replace(whole, label_B=torch.stack([start_B, end_B], -1))
        labels = {"start_positions": start_B, "end_positions": end_B}
    return Case(learner, rows, labels)


def logits_of(kind: str, case: Case) -> list[Tensor]:
    """Return our logits in the shapes of transformers, those of tokens where there is one that is looked at."""
    hidden, head = case.learner.states(case.rows), case.learner.heads[kind]
    if kind == "span":
        return [by_row(one, case.rows) for one in head(hidden.predicted_MD).unbind(-1)]
    if kind == "tag":
        return [head(hidden.predicted_MD)]
    logits_BC = head(hidden.first_B1D)
    return [logits_BC.view(-1, CHOICES) if kind == "choose" else logits_BC]


def asked(kind: str, architecture: str, case: Case) -> dict[str, Tensor]:
    """Put rows and labels as transformers takes them; choices get a dimension of their own."""
    attended_BT = case.rows.attended_BT
    inputs = {"input_ids": case.rows.ids_BT}
    inputs["attention_mask"] = torch.ones_like(case.rows.ids_BT) if attended_BT is None else attended_BT.long()
    if architecture == "bert":
        inputs["token_type_ids"] = case.rows.segments_BT
    if kind == "choose":
        inputs = {name: one.view(-1, CHOICES, one.shape[1]) for name, one in inputs.items()}
    return inputs | case.labels


def theirs_of(kind: str, architecture: str, case: Case, folder: Path) -> Any:
    """Ask transformers, from the folder that we saved."""
    name = {"bert": "Bert", "modern": "ModernBert"}[architecture] + CLASSES_OF[kind][0]
    assert json.loads((folder / "config.json").read_text())["architectures"] == [name]
    model, notes = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    assert not any(notes[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()(**asked(kind, architecture, case))


def loss_of(kind: str, case: Case) -> Terms:
    """Take our loss."""
    objective = objective_of(kind, CLASSES, CHOICES)
    words_VD = case.learner.encoder.word_embedding_VD
    terms = objective.loss(case.learner.heads[kind], case.learner.states(case.rows), words_VD, case.rows)
    assert isinstance(terms, Terms)
    return terms


@pytest.mark.parametrize("architecture", BOTH)
@pytest.mark.parametrize("kind", CLASSES_OF)
@torch.no_grad()
def test_transformers_gets_the_same_logits_and_the_same_loss(kind: str, architecture: str, tmp_path: Path) -> None:
    shape = BOTH[architecture]
    case = case_of(kind, shape)
    huggingface.save(tmp_path, shape, state_of(case.learner), CLASSES_OF[kind][1])
    theirs = theirs_of(kind, architecture, case, tmp_path)
    expected = [theirs.start_logits, theirs.end_logits] if kind == "span" else [theirs.logits]
    if kind == "tag":
        expected = [theirs.logits.flatten(0, 1)[case.rows.predicted_M]]
    for mine, other in zip(logits_of(kind, case), expected, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=0)
    terms = loss_of(kind, case)
    torch.testing.assert_close(terms.loss_sum / terms.count, theirs.loss, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", BOTH)
@pytest.mark.parametrize("kind", CLASSES_OF)
def test_a_tuned_model_comes_back_by_what_it_does(kind: str, architecture: str, tmp_path: Path) -> None:
    shape, labels = BOTH[architecture], CLASSES_OF[kind][1]
    learner = learner_with(shape, {kind: objective_of(kind, CLASSES, CHOICES)})
    huggingface.save(tmp_path / "a", shape, state_of(learner), labels)
    again, state = huggingface.load(tmp_path / "a")
    assert state.keys() == state_of(learner).keys()
    huggingface.save(tmp_path / "b", again, state, labels)
    for name in ("config.json", "model.safetensors"):
        assert sha256_of(tmp_path / "a" / name) == sha256_of(tmp_path / "b" / name)


def test_the_names_of_classes_are_in_the_config(tmp_path: Path) -> None:
    shape, labels = BOTH["bert"], CLASSES_OF["tag"][1]
    huggingface.save(tmp_path, shape, state_of(case_of("tag", shape).learner), labels)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    assert tuple(config.id2label[at] for at in range(5)) == labels
    assert config.label2id["B-Y"] == 3


@pytest.mark.parametrize("kind", CLASSES_OF)
@torch.no_grad()
def test_rows_without_a_label_count_for_nothing(kind: str) -> None:
    case = case_of(kind, ODD)
    nothing = float("nan") if case.rows.label_B.is_floating_point() else -100
    unknown = replace(
        case.rows,
        label_B=torch.full_like(case.rows.label_B, nothing),
        predicted_M=case.rows.predicted_M[:0],
        labels_M=case.rows.labels_M[:0],
    )
    terms = loss_of(kind, replace(case, rows=unknown))
    assert (float(terms.loss_sum), int(terms.count), int(terms.correct)) == (0.0, 0, 0)


def test_scores_of_tokens_are_laid_out_alike_whether_rows_are_padded_or_packed() -> None:
    rows = padded_rows(ODD)
    assert rows.attended_BT is not None
    every = replace(rows, predicted_M=rows.attended_BT.reshape(-1).nonzero()[:, 0])
    score_M = torch.randn(len(every.predicted_M))
    packed = packed_rows(every)
    assert torch.equal(packed.predicted_M, torch.arange(len(score_M)))
    assert torch.equal(by_row(score_M, every), by_row(score_M, packed))
