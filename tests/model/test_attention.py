"""Both layouts of rows, and where each runs."""

from itertools import accumulate

import pytest
import torch
from torch import Tensor

from pipeline.core.errors import ConfigError
from pipeline.model.attention import Attention, Packed, chosen, rotary_of, turned_parts
from pipeline.model.heads import Learner
from tests.model.conftest import BOTH, PRETRAINING, Rows, learner_of, packed_rows, padded_rows

ARCHITECTURE = pytest.mark.parametrize("architecture", BOTH)


def _taken(learner: Learner, rows: Rows) -> tuple[dict[str, list[float]], dict[str, Tensor]]:
    learner.zero_grad()
    sums = learner(rows)
    sum(loss_sum / 7 for loss_sum, _, _ in sums.values()).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in learner.named_parameters()}
    return {name: [term.item() for term in terms] for name, terms in sums.items()}, gradients


@ARCHITECTURE
def test_packed_rows_give_the_states_of_padded_ones(architecture: str) -> None:
    learner, padded = learner_of(BOTH[architecture]), padded_rows(BOTH[architecture])
    packed = packed_rows(padded)
    with torch.no_grad():
        expected_BTD = learner.encoder(padded.ids_BT, padded.segments_BT, padded.attended_BT)
        hidden_1ND = learner.encoder(packed.ids_BT, packed.segments_BT, packed.packed)
    assert padded.attended_BT is not None
    torch.testing.assert_close(hidden_1ND[0], expected_BTD[padded.attended_BT], atol=2e-6, rtol=1e-5)


@ARCHITECTURE
def test_packed_rows_give_the_losses_and_gradients_of_padded_ones(architecture: str) -> None:
    shape = BOTH[architecture]
    learner, padded = learner_of(shape, PRETRAINING[architecture]), padded_rows(shape)
    sums, gradients = _taken(learner, packed_rows(padded))
    expected, expected_gradients = _taken(learner, padded)
    for name in expected:
        assert sums[name] == pytest.approx(expected[name], rel=1e-5)
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, atol=2e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("lengths", [[4, 4, 4], [5, 5, 2, 2, 2, 1], [1, 3, 3, 1]])
def test_packed_neighbours_of_one_length_attend_each_to_itself(lengths: list[int]) -> None:
    shape = BOTH["bert"]
    attention = Attention(shape, bias=True)
    hidden_ND = torch.randn(sum(lengths), shape.width, generator=torch.Generator().manual_seed(1))
    starts_B = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    together = attention(hidden_ND[None], Packed(starts_B, max(lengths)), None, None)[0]
    alone = torch.cat([attention(row_TD[None], None, None, None)[0] for row_TD in hidden_ND.split(lengths)])
    torch.testing.assert_close(together, alone)


def test_packed_positions_begin_again_in_each_row() -> None:
    packed = Packed(torch.tensor([0, 3, 4, 6], dtype=torch.int32), longest=3)
    assert packed.positions_N(6).tolist() == [0, 1, 2, 0, 0, 1]


def test_only_the_distance_between_rotated_tokens_counts() -> None:
    qkv_BT3HK = torch.randn(1, 1, 3, 2, 8).expand(1, 9, 3, 2, 8).contiguous()
    q_BTHK, k_BTHK, v_BTHK = turned_parts(qkv_BT3HK, rotary_of(torch.arange(9)[None], 8, 100.0, torch.float32))
    scores_HTT = torch.einsum("bqhk,bthk->hqt", q_BTHK, k_BTHK)
    for distance in range(-4, 5):
        along = scores_HTT.diagonal(distance, 1, 2)
        torch.testing.assert_close(along, along[:, :1].expand_as(along))
    assert not torch.allclose(scores_HTT[:, 0, 0], scores_HTT[:, 0, 4])
    assert torch.equal(v_BTHK, qkv_BT3HK[:, :, 2])


def test_the_gradient_of_the_rotation_is_that_of_autograd() -> None:
    qkv_BT3HK = torch.randn(2, 5, 3, 2, 6, dtype=torch.float64, requires_grad=True)
    rotary = rotary_of(torch.arange(5)[None], 6, 100.0, torch.float64)
    assert torch.autograd.gradcheck(lambda qkv: turned_parts(qkv, rotary), (qkv_BT3HK,))


def test_rows_are_padded_where_there_is_no_cuda() -> None:
    assert chosen("auto", "cpu") == "padded"
    assert chosen("padded", "cpu") == "padded"
    with pytest.raises(ConfigError, match=r"run\.attention=varlen: .*needs CUDA, not cpu; set run\.attention=auto"):
        chosen("varlen", "cpu")


def test_rows_are_packed_on_gpus_with_a_kernel_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    capability = (8, 6)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert chosen("auto", "cuda", "bf16") == chosen("varlen", "cuda", "fp16") == "varlen"
    assert chosen("auto", "cuda", "float32") == "padded"
    with pytest.raises(ConfigError, match="computes in bf16 or fp16, not float32"):
        chosen("varlen", "cuda", "float32")
    capability = (7, 5)
    assert chosen("auto", "cuda", "bf16") == "padded"
    with pytest.raises(ConfigError, match=r"needs compute capability 8\.0, this device has 7\.5"):
        chosen("varlen", "cuda", "bf16")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@ARCHITECTURE
def test_the_kernel_for_packed_rows_agrees_with_padded_ones(architecture: str) -> None:
    learner = learner_of(BOTH[architecture]).to("cuda", torch.bfloat16)
    padded = padded_rows(BOTH[architecture])
    packed = packed_rows(padded)
    assert padded.attended_BT is not None
    assert packed.packed is not None
    with torch.no_grad():
        expected_BTD = learner.encoder(padded.ids_BT.cuda(), padded.segments_BT.cuda(), padded.attended_BT.cuda())
        placed = Packed(packed.packed.starts_B.cuda(), packed.packed.longest)
        hidden_1ND = learner.encoder(packed.ids_BT.cuda(), packed.segments_BT.cuda(), placed)
    torch.testing.assert_close(hidden_1ND[0], expected_BTD[padded.attended_BT.cuda()], atol=0.1, rtol=0.05)
