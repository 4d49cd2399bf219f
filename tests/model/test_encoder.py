"""What holds for the trunk whatever the architecture."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pipeline.model.encoder import encoder_of, initialize
from pipeline.model.heads import Learner
from pipeline.training.batches import NOTHING
from tests.model.conftest import BOTH, PRETRAINING, TINY, learner_of, padded_rows

ARCHITECTURE = pytest.mark.parametrize("architecture", BOTH)


@ARCHITECTURE
def test_rows_without_padding_need_no_mask(architecture: str) -> None:
    learner, rows = learner_of(BOTH[architecture]), padded_rows(BOTH[architecture])
    assert rows.attended_BT is not None
    with torch.no_grad():
        masked_BTD = learner.encoder(rows.ids_BT[:1], rows.segments_BT[:1], rows.attended_BT[:1])
        torch.testing.assert_close(learner.encoder(rows.ids_BT[:1], rows.segments_BT[:1], None), masked_BTD)


@ARCHITECTURE
def test_chosen_tokens_get_the_states_they_have_among_all(architecture: str) -> None:
    learner, rows = learner_of(BOTH[architecture]), padded_rows(BOTH[architecture])
    chosen_M = torch.tensor([0, 130, 7])
    with torch.no_grad():
        all_BTD = learner.encoder(rows.ids_BT, rows.segments_BT, rows.attended_BT)
        chosen_MD = learner.encoder(rows.ids_BT, rows.segments_BT, rows.attended_BT, chosen_M)
    torch.testing.assert_close(chosen_MD, all_BTD.flatten(0, 1)[chosen_M], atol=2e-6, rtol=1e-5)


def _gradients(architecture: str, *, recompute: bool) -> dict[str, Tensor]:
    shape = replace(BOTH[architecture], dropout=0.3)
    learner = learner_of(shape, PRETRAINING[architecture], recompute=recompute).train()
    torch.manual_seed(1)
    sum(loss_sum for loss_sum, _, _ in learner(padded_rows(shape)).values()).backward()
    return {name: parameter.grad for name, parameter in learner.named_parameters()}


@ARCHITECTURE
def test_recomputed_activations_give_the_same_gradients_under_dropout(architecture: str) -> None:
    kept, recomputed = (_gradients(architecture, recompute=choice) for choice in (False, True))
    for name, gradient in kept.items():
        assert torch.equal(gradient, recomputed[name]), name


def test_recomputing_keeps_no_activations_inside_layers() -> None:
    def kept(*, recompute: bool) -> int:
        encoder, numbers = encoder_of(TINY, recompute=recompute), []

        def note(tensor: Tensor) -> Tensor:
            numbers.append(tensor.numel())
            return tensor

        ids_BT = torch.zeros(2, 64, dtype=torch.long)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            encoder(ids_BT, ids_BT, None)
        return sum(numbers)

    assert kept(recompute=True) < kept(recompute=False) / 3


def test_weights_depend_on_the_seed_alone() -> None:
    def drawn(seed: int) -> Tensor:
        encoder = encoder_of(TINY)
        initialize(encoder, TINY, seed)
        return encoder.layers[1].inner.weight.detach()

    torch.manual_seed(1)
    first = drawn(7)
    torch.manual_seed(2)
    assert torch.equal(first, drawn(7))
    assert not torch.equal(first, drawn(8))
    assert first.std().item() == pytest.approx(TINY.initializer_range, rel=0.05)


def test_a_fresh_layer_of_the_modern_architecture_is_the_identity() -> None:
    shape = BOTH["modern"]
    learner = Learner(shape, {})
    initialize(learner, shape, seed=1)
    hidden_BTD = torch.randn(2, 5, shape.width)
    ids_BT = torch.arange(10).reshape(2, 5)
    with torch.no_grad():
        embedded_BTD = learner.encoder.embeddings(ids_BT, ids_BT, ids_BT)
        expected_BTD = learner.encoder.norm(embedded_BTD)
        torch.testing.assert_close(learner.encoder(ids_BT, ids_BT, None), expected_BTD)
    assert hidden_BTD.shape == embedded_BTD.shape


def test_a_row_without_a_label_adds_nothing_to_the_loss() -> None:
    rows = replace(padded_rows(TINY), label_B=torch.full((4,), NOTHING))
    loss_sum, count, _ = learner_of(TINY, ["nsp"])(rows)["nsp"]
    assert (loss_sum.item(), count.item()) == (0.0, 0)
