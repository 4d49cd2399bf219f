"""The parts of a modern encoder: pre-norm, rotary positions, GeGLU, no biases; every layer attends to the whole row.

Source: Warner et al. 2024 (ModernBERT), section 2.1; its local attention is left out, as sequences here are short.
Letters: B batch, T tokens, D width, I intermediate width, M chosen positions.
"""

from torch import Tensor, nn
from torch.nn import functional

from pipeline.model.attention import Attended, Attention, Rotary, take
from pipeline.model.dropout import Dropout
from pipeline.model.shape import Shape


class Embeddings(nn.Module):
    """Word embeddings, normalised; there are no segments, and positions come in with attention."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.word = nn.Embedding(shape.vocab_size, shape.width)
        self.norm = norm_of(shape)
        self.dropout = Dropout(shape.dropout)

    def forward(self, ids_BT: Tensor, segments_BT: Tensor, positions_BT: Tensor) -> Tensor:
        """Return hidden_BTD."""
        hidden_BTD: Tensor = self.dropout(self.norm(self.word(ids_BT)))
        return hidden_BTD


class Layer(nn.Module):
    """Attention and gated feed-forward, each on its normalised input (pre-norm), added to the stream."""

    def __init__(self, shape: Shape, *, first: bool) -> None:
        super().__init__()
        self.attention_norm = nn.Identity() if first else norm_of(shape)  # the embeddings come normalised
        self.attention = Attention(shape, bias=False)
        self.inner_norm = norm_of(shape)
        self.inner = nn.Linear(shape.width, 2 * shape.intermediate, bias=False)
        self.outer = nn.Linear(shape.intermediate, shape.width, bias=False)
        self.dropout = Dropout(shape.dropout)

    def forward(
        self, hidden_BTD: Tensor, attended: Attended, rotary: Rotary | None = None, chosen_M: Tensor | None = None
    ) -> Tensor:
        """Return hidden_BTD of the next layer, or of chosen tokens alone: chosen_MD."""
        gathered = self.attention(self.attention_norm(hidden_BTD), attended, rotary, chosen_M)
        mixed: Tensor = self.dropout(gathered, onto=take(hidden_BTD, chosen_M))
        value, gate = self.inner(self.inner_norm(mixed)).chunk(2, -1)
        outer: Tensor = self.outer(self.dropout(functional.gelu(value) * gate))
        return mixed + outer


def norm_of(shape: Shape) -> nn.LayerNorm:
    """Make a LayerNorm without bias."""
    return nn.LayerNorm(shape.width, eps=shape.layer_norm_eps, bias=False)
