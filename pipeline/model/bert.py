"""The parts of the encoder of Devlin et al. 2019: post-norm, learned positions, exact GELU, biases everywhere.

Letters: B batch, T tokens, D width, I intermediate width, M chosen positions.
"""

from torch import Tensor, nn
from torch.nn import functional

from pipeline.model.attention import Attended, Attention, Rotary, take
from pipeline.model.dropout import Dropout
from pipeline.model.shape import Shape


class Embeddings(nn.Module):
    """Sum of word, position and segment embeddings, normalised."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.word = nn.Embedding(shape.vocab_size, shape.width)
        self.position = nn.Embedding(shape.max_positions, shape.width)
        self.segment = nn.Embedding(shape.type_vocab_size, shape.width)
        self.norm = nn.LayerNorm(shape.width, eps=shape.layer_norm_eps)
        self.dropout = Dropout(shape.dropout)

    def forward(self, ids_BT: Tensor, segments_BT: Tensor, positions_BT: Tensor) -> Tensor:
        """Return hidden_BTD; positions may be one row for all."""
        sum_BTD = self.word(ids_BT) + self.segment(segments_BT) + self.position(positions_BT)
        hidden_BTD: Tensor = self.dropout(self.norm(sum_BTD))
        return hidden_BTD


class Layer(nn.Module):
    """Attention and feed-forward, each added to its input and then normalised (post-norm)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention = Attention(shape, bias=True)
        self.attention_norm = nn.LayerNorm(shape.width, eps=shape.layer_norm_eps)
        self.inner = nn.Linear(shape.width, shape.intermediate)
        self.outer = nn.Linear(shape.intermediate, shape.width)
        self.outer_norm = nn.LayerNorm(shape.width, eps=shape.layer_norm_eps)
        self.dropout = Dropout(shape.dropout)

    def forward(
        self, hidden_BTD: Tensor, attended: Attended, rotary: Rotary | None = None, chosen_M: Tensor | None = None
    ) -> Tensor:
        """Return hidden_BTD of the next layer, or of chosen tokens alone: chosen_MD."""
        gathered = self.attention(hidden_BTD, attended, rotary, chosen_M)
        mixed = self.attention_norm(self.dropout(gathered, onto=take(hidden_BTD, chosen_M)))
        inner = functional.gelu(self.inner(mixed))
        next_hidden: Tensor = self.outer_norm(self.dropout(self.outer(inner), onto=mixed))
        return next_hidden
