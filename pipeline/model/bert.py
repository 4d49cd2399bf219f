"""The encoder of Devlin et al. 2019: post-norm, learned positions, exact GELU; one fused projection for Q, K and V.

Letters: B batch, T tokens, D width, H heads, K head width, V vocabulary.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.model.shape import Shape


class Embeddings(nn.Module):
    """Sum of word, position and segment embeddings, normalised."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.word = nn.Embedding(shape.vocab_size, shape.width)
        self.position = nn.Embedding(shape.max_positions, shape.width)
        self.segment = nn.Embedding(shape.type_vocab_size, shape.width)
        self.norm = nn.LayerNorm(shape.width, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, ids_BT: Tensor, segments_BT: Tensor) -> Tensor:
        """Return hidden_BTD."""
        position_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
        sum_BTD = self.word(ids_BT) + self.segment(segments_BT) + self.position(position_T)
        hidden_BTD: Tensor = self.dropout(self.norm(sum_BTD))
        return hidden_BTD


class Attention(nn.Module):
    """Multi-head self-attention over padded rows."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.head_width, self.dropout = shape.heads, shape.head_width, shape.dropout
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.output = nn.Linear(shape.width, shape.width)

    def forward(self, hidden_BTD: Tensor, attended_BT: Tensor | None) -> Tensor:
        """Return mixed_BTD; `attended_BT` is False on padding, None where there is none."""
        rows, tokens, width = hidden_BTD.shape
        qkv_BT3HK = self.qkv(hidden_BTD).view(rows, tokens, 3, self.heads, self.head_width)
        q_BHTK, k_BHTK, v_BHTK = qkv_BT3HK.permute(2, 0, 3, 1, 4)
        mixed_BHTK = functional.scaled_dot_product_attention(
            q_BHTK,
            k_BHTK,
            v_BHTK,
            attn_mask=None if attended_BT is None else attended_BT[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        mixed_BTD: Tensor = self.output(mixed_BHTK.transpose(1, 2).reshape(rows, tokens, width))
        return mixed_BTD


class Layer(nn.Module):
    """Attention and feed-forward, each added to its input and then normalised (post-norm)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention = Attention(shape)
        self.attention_norm = nn.LayerNorm(shape.width, eps=shape.layer_norm_eps)
        self.inner = nn.Linear(shape.width, shape.intermediate)
        self.outer = nn.Linear(shape.intermediate, shape.width)
        self.outer_norm = nn.LayerNorm(shape.width, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, hidden_BTD: Tensor, attended_BT: Tensor | None) -> Tensor:
        """Return hidden_BTD of the next layer."""
        mixed_BTD = self.attention_norm(hidden_BTD + self.dropout(self.attention(hidden_BTD, attended_BT)))
        inner_BTI = functional.gelu(self.inner(mixed_BTD))
        next_BTD: Tensor = self.outer_norm(mixed_BTD + self.dropout(self.outer(inner_BTI)))
        return next_BTD


class Encoder(nn.Module):
    """Token ids to one vector a token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embeddings = Embeddings(shape)
        self.layers = nn.ModuleList([Layer(shape) for _ in range(shape.layers)])

    def forward(self, ids_BT: Tensor, segments_BT: Tensor, attended_BT: Tensor | None) -> Tensor:
        """Return hidden_BTD of the last layer; `attended_BT` is False on padding, None where there is none."""
        hidden_BTD: Tensor = self.embeddings(ids_BT, segments_BT)
        for layer in self.layers:
            hidden_BTD = layer(hidden_BTD, attended_BT)
        return hidden_BTD


@torch.no_grad()
def initialize(module: nn.Module, shape: Shape, seed: int) -> None:
    """Draw all weights: normal with the shape's standard deviation; biases zero, LayerNorm one and zero.

    The draws depend on the seed and on the order of the parameters, nothing else.
    Source: google-research/bert modeling.py create_initializer (there truncated at two deviations).
    """
    generator = torch.Generator().manual_seed(seed)
    norms = {id(part.weight) for part in module.modules() if isinstance(part, nn.LayerNorm)}
    for parameter in module.parameters():
        if id(parameter) in norms:
            parameter.fill_(1.0)
        elif parameter.ndim < 2:
            parameter.zero_()
        else:
            parameter.normal_(0.0, shape.initializer_range, generator=generator)
