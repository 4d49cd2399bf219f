"""How large an encoder is, and what it costs. Loads no torch: configs, plans and orders use it too."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.core.errors import DataError


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
    architecture: Literal["bert", "modern"] = "bert"

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


def read_shape(folder: Path) -> Shape:
    """Read the shape of the model in a Hugging Face folder.

    Raises: DataError if it has no config.json, or not one of a BERT.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise DataError(f"{path}: missing; expected a Hugging Face folder with config.json and model.safetensors")
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.get("model_type") != "bert":
        raise DataError(f"{path}: model_type={config.get('model_type')!r}, expected 'bert'")
    width, inner = config["hidden_size"], config["intermediate_size"]
    return Shape(
        layers=config["num_hidden_layers"],
        width=width,
        heads=config["num_attention_heads"],
        vocab_size=config["vocab_size"],
        max_positions=config["max_position_embeddings"],
        intermediate_size=None if inner == 4 * width else inner,
        type_vocab_size=config.get("type_vocab_size", 2),
        dropout=config.get("hidden_dropout_prob", 0.1),
        layer_norm_eps=config.get("layer_norm_eps", 1e-12),
        initializer_range=config.get("initializer_range", 0.02),
    )
