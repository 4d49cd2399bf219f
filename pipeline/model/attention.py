"""Attention over rows, padded or laid one behind another, and rotary positions.

Letters: B rows, T tokens of a row, N tokens of all rows, D width, H heads, K head width, M chosen positions.

Padded rows go through `scaled_dot_product_attention`; so do packed ones on a CPU, in runs of one length, while on CUDA
`varlen_attn` takes them. Packed rows cost nothing for padding. Attention probabilities are not dropped: `varlen_attn`
cannot, and how a model runs may not change what it learns.
"""

from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.errors import ConfigError
from pipeline.model.shape import Shape

AMPERE = (8, 0)
"""The compute capability from which flash attention, and so `varlen_attn`, has kernels."""
HALVES = ("bf16", "fp16")
"""The precisions it has kernels for."""


@dataclass(frozen=True)
class Packed:
    """Rows laid one behind another without padding: tensors of a batch then have the shape [1, N]."""

    starts_B: Tensor  # int32, rows + 1 numbers: where each row begins, and where the last one ends
    longest: int  # tokens of the longest row

    def positions_N(self, tokens: int) -> Tensor:
        """Number the tokens of each row from 0; `tokens` is N."""
        starts_B = self.starts_B.long()
        begin_N = starts_B[:-1].repeat_interleave(starts_B.diff(), output_size=tokens)
        return torch.arange(tokens, device=starts_B.device) - begin_N


Attended = Tensor | Packed | None
"""Which tokens attend: False on the padding of padded rows, None where there is none; or how rows are packed."""
Rotary = tuple[Tensor, Tensor]
"""Cosines and sines of the angles that heads are turned by, half a head wide: shape [rows or 1, T, 1, K / 2]."""


def chosen(
    attention: Literal["auto", "padded", "varlen"], device: torch.device | str, precision: str = "float32"
) -> Literal["padded", "varlen"]:
    """Decide how rows are laid out: without padding where variable-length attention runs.

    Raises: ConfigError if it is demanded where it does not.
    """
    if attention == "padded":
        return "padded"
    obstacle = _obstacle(torch.device(device), precision)
    if obstacle is None:
        return "varlen"
    if attention == "varlen":
        raise ConfigError(f"run.attention=varlen: {obstacle}; set run.attention=auto or padded")
    return "padded"


def _obstacle(device: torch.device, precision: str) -> str | None:
    if device.type != "cuda" or not torch.cuda.is_available():
        return f"variable-length attention needs CUDA, not {device.type}"
    if precision not in HALVES:
        return f"variable-length attention computes in {' or '.join(HALVES)}, not {precision}"
    if (found := torch.cuda.get_device_capability(device)) < AMPERE:
        return f"variable-length attention needs compute capability 8.0, this device has {found[0]}.{found[1]}"
    return None


class Attention(nn.Module):
    """Multi-head self-attention; one fused projection for Q, K and V."""

    def __init__(self, shape: Shape, *, bias: bool) -> None:
        super().__init__()
        self.heads, self.head_width = shape.heads, shape.head_width
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=bias)
        self.output = nn.Linear(shape.width, shape.width, bias=bias)

    def forward(self, hidden_BTD: Tensor, attended: Attended, rotary: Rotary | None, chosen_M: Tensor | None) -> Tensor:
        """Return what each token gathers, or the chosen ones alone (`take`): attended_BTD or attended_MD."""
        rows, tokens, width = hidden_BTD.shape
        qkv_BT3HK = self.qkv(hidden_BTD).view(rows, tokens, 3, self.heads, self.head_width)
        if rotary is None:
            q_BTHK, k_BTHK, v_BTHK = qkv_BT3HK.unbind(2)
        else:
            q_BTHK, k_BTHK, v_BTHK = turned_parts(qkv_BT3HK, rotary)
        gathered_BTD = _attend(q_BTHK, k_BTHK, v_BTHK, attended).reshape(rows, tokens, width)
        output: Tensor = self.output(take(gathered_BTD, chosen_M))
        return output


def take(hidden_BTD: Tensor, chosen_M: Tensor | None) -> Tensor:
    """Keep the chosen flat positions, row * T + column: chosen_MD; all of them where None."""
    return hidden_BTD if chosen_M is None else hidden_BTD.flatten(0, 1).index_select(0, chosen_M)


def _attend(q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, attended: Attended) -> Tensor:
    """Return gathered_BTHK."""
    if isinstance(attended, Packed):
        return _packed(q_BTHK[0], k_BTHK[0], v_BTHK[0], attended)[None]
    return functional.scaled_dot_product_attention(
        q_BTHK.transpose(1, 2),
        k_BTHK.transpose(1, 2),
        v_BTHK.transpose(1, 2),
        attn_mask=None if attended is None else attended[:, None, None, :],
    ).transpose(1, 2)


def _packed(q_NHK: Tensor, k_NHK: Tensor, v_NHK: Tensor, packed: Packed) -> Tensor:
    """Attend within each row; off CUDA, which alone has a kernel, neighbours of one length together.

    On one core, 32 sentences of SST-2 take half the time that padding them and cutting them out again would.
    """
    if q_NHK.is_cuda:
        from torch.nn.attention.varlen import varlen_attn

        starts_B, longest = packed.starts_B, packed.longest
        gathered_NHK = varlen_attn(q_NHK, k_NHK, v_NHK, starts_B, starts_B, longest, longest)
        assert isinstance(gathered_NHK, Tensor)
        return gathered_NHK
    alike = [(len(list(run)), length) for length, run in groupby(packed.starts_B.diff().tolist())]
    runs = zip(*(_split(part_NHK, alike) for part_NHK in (q_NHK, k_NHK, v_NHK)), strict=True)
    return torch.cat([_attend(q_BTHK, k_BTHK, v_BTHK, None).flatten(0, 1) for q_BTHK, k_BTHK, v_BTHK in runs])


def _split(part_NHK: Tensor, alike: list[tuple[int, int]]) -> list[Tensor]:
    """Cut into runs of so many rows of one length: a part_BTHK each."""
    runs = torch.split(part_NHK, [rows * length for rows, length in alike])
    return [run_NHK.view(*sizes, *run_NHK.shape[1:]) for run_NHK, sizes in zip(runs, alike, strict=True)]


def rotary_of(positions_BT: Tensor, head_width: int, theta: float, dtype: torch.dtype) -> Rotary:
    """Give the angles of token positions: the k-th pair of a head's numbers turns by position / theta^(2k / K).

    Source: Su et al. 2021 (RoFormer), section 3.2.2; pairs are half a head apart, as in transformers.
    """
    exponents = torch.arange(0, head_width, 2, device=positions_BT.device, dtype=torch.float32) / head_width
    angles_BTK = positions_BT[..., None].float() / theta**exponents
    cos, sin = (values[:, :, None].to(dtype) for values in (angles_BTK.cos(), angles_BTK.sin()))
    return cos, sin


def turned_parts(qkv_BT3HK: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
    """Part a projection into queries and keys, turned by the angles of their positions, and values."""
    parts: tuple[Tensor, Tensor, Tensor] = _Turn.apply(qkv_BT3HK, *rotary)  # type: ignore[no-untyped-call]
    return parts


class _Turn(torch.autograd.Function):
    """A rotation: its gradient is the rotation back, written where the projection's gradient is wanted."""

    @staticmethod
    def forward(ctx: Any, qkv_BT3HK: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(cos, sin)
        q_BTHK, k_BTHK, v_BTHK = qkv_BT3HK.unbind(2)
        turned_BT2HK = torch.empty_like(qkv_BT3HK[:, :, :2], memory_format=torch.contiguous_format)
        _turn(q_BTHK, cos, sin, turned_BT2HK[:, :, 0])
        _turn(k_BTHK, cos, sin, turned_BT2HK[:, :, 1])
        return turned_BT2HK[:, :, 0], turned_BT2HK[:, :, 1], v_BTHK

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        q_BTHK, k_BTHK, v_BTHK = gradients
        rows, tokens, heads, width = q_BTHK.shape
        gradient_BT3HK = q_BTHK.new_empty(rows, tokens, 3, heads, width)
        _turn(q_BTHK, cos, -sin, gradient_BT3HK[:, :, 0])
        _turn(k_BTHK, cos, -sin, gradient_BT3HK[:, :, 1])
        gradient_BT3HK[:, :, 2] = v_BTHK
        return gradient_BT3HK, None, None


def _turn(heads_BTHK: Tensor, cos: Tensor, sin: Tensor, into_BTHK: Tensor) -> None:
    low, high = heads_BTHK.chunk(2, -1)
    into_low, into_high = into_BTHK.chunk(2, -1)
    torch.mul(low, cos, out=into_low).addcmul_(high, sin, value=-1)
    torch.mul(high, cos, out=into_high).addcmul_(low, sin)
