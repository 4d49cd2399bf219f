"""How large an encoder is, and what it costs. Loads no torch: configs, plans and orders use it too."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The hyper-parameters that fix the tensors of a BERT encoder.

    Source: Devlin et al. 2019, section 3; defaults as released by google-research/bert.
    """

    layers: int
    width: int
    heads: int
    vocab_size: int
    max_positions: int
    intermediate_size: int | None = None
    type_vocab_size: int = 2
    dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02

    @property
    def intermediate(self) -> int:
        """Width of the feed-forward layer: four times `width` unless given."""
        return self.intermediate_size if self.intermediate_size is not None else 4 * self.width

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


SIZES: dict[str, tuple[int, int, int]] = {
    "tiny": (2, 128, 2),
    "mini": (4, 256, 4),
    "small": (4, 512, 8),
    "medium": (8, 512, 8),
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
}
"""Name -> (layers, width, heads). Source: Turc et al. 2019 (tiny to medium), Devlin et al. 2019 (base, large)."""


def parameter_count(shape: Shape) -> int:
    """Count the parameters of embeddings, layers and pooler (109,482,240 for BERT-base), heads apart."""
    width, inner = shape.width, shape.intermediate
    embeddings = (shape.vocab_size + shape.max_positions + shape.type_vocab_size + 2) * width
    layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width
    return embeddings + shape.layers * layer + width * (width + 1)


def flops_per_token(shape: Shape, *, attended: float, predicted_share: float) -> float:
    """Count floating-point operations a real token, forward and backward, of one pretraining step.

    `attended` is the effective sequence length E[length^2] / E[length]; `predicted_share` the share of tokens that
    reach the masked language model head. Two operations a multiply-add, three passes (one forward, two backward).
    """
    width = shape.width
    matrices = shape.layers * (4 * width * width + 2 * width * shape.intermediate)
    head = width * shape.vocab_size + width * width
    return 6.0 * matrices + 12.0 * shape.layers * width * attended + 6.0 * predicted_share * head
