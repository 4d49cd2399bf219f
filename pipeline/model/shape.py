"""How large an encoder is, and what it costs. Loads no torch: configs, plans and orders use it too."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.core.errors import DataError

ROTARY_THETA = 10_000.0
"""The base of rotary positions: Su et al. 2021, and ModernBERT's where attention is local; right for rows this short."""
GLU_MULTIPLE = 64
"""The width of a gated feed-forward layer is rounded to a multiple of this, for the matrix units."""


@dataclass(frozen=True)
class Shape:
    """The hyper-parameters that fix the tensors of an encoder.

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
        """Width of the feed-forward layer unless given: four times `width`; 8/3, for as many weights, where it is gated."""
        if self.intermediate_size is not None:
            return self.intermediate_size
        if self.architecture == "bert":
            return 4 * self.width
        return max(1, round(8 * self.width / 3 / GLU_MULTIPLE)) * GLU_MULTIPLE

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
    """Count the parameters of embeddings, layers and bert's pooler (109,482,240 for BERT-base), heads apart."""
    width, inner = shape.width, shape.intermediate
    if shape.architecture == "modern":
        layer = 4 * width * width + 3 * width * inner + 2 * width
        return (shape.vocab_size + 1) * width + shape.layers * layer  # the first layer's norm is the last one's
    embeddings = (shape.vocab_size + shape.max_positions + shape.type_vocab_size + 2) * width
    layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width
    return embeddings + shape.layers * layer + width * (width + 1)


def flops_per_token(shape: Shape, *, attended: float, predicted_share: float) -> float:
    """Count floating-point operations a real token, forward and backward, of one pretraining step.

    `attended` is the effective sequence length E[length^2] / E[length]; `predicted_share` the share of tokens that
    reach the masked language model head. Two operations a multiply-add, three passes (one forward, two backward).
    The last layer is counted whole, though `Encoder` leaves out of it what no head sees: about a twentieth of BERT-base.
    """
    width = shape.width
    inner = {"bert": 2, "modern": 3}[shape.architecture] * width * shape.intermediate
    matrices = shape.layers * (4 * width * width + inner)
    head = width * shape.vocab_size + width * width
    return 6.0 * matrices + 12.0 * shape.layers * width * attended + 6.0 * predicted_share * head


_BERT = {"hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False}
_MODERN = {
    "hidden_activation": "gelu",
    "classifier_activation": "gelu",
    "classifier_pooling": "cls",
    "norm_bias": False,
    "attention_bias": False,
    "mlp_bias": False,
    "classifier_bias": False,
    "decoder_bias": True,
    "layer_types": ["full_attention"],
    "rope_theta": ROTARY_THETA,
    "rope_type": "default",
}
"""What we compute with, and transformers too unless config.json says otherwise."""


def read_shape(folder: Path) -> Shape:
    """Read the shape of the model in a Hugging Face folder.

    Raises: DataError if it has no config.json, or not one of a model that we can build.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise DataError(f"{path}: missing; expected a Hugging Face folder with config.json and model.safetensors")
    try:
        return _shape_of(dict(json.loads(path.read_text(encoding="utf-8"))), path)
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is not the config.json of a model ({error}); copy or download it again") from error
    except KeyError as error:
        raise DataError(f"{path}: has no {error.args[0]}; expected that of a BERT or ModernBERT") from error


def _shape_of(config: dict[str, Any], path: Path) -> Shape:
    readers = {"bert": _bert_shape, "modernbert": _modern_shape}
    if config.get("model_type") not in readers:
        raise DataError(f"{path}: model_type={config.get('model_type')!r}, expected 'bert' or 'modernbert'")
    for name, (value, expected) in _strange(config).items():
        raise DataError(f"{path}: {name}={value!r}, which our encoder has not; expected {expected!r}")
    return readers[config["model_type"]](config)


def _bert_shape(config: dict[str, Any]) -> Shape:
    return Shape(
        **_sizes(config),
        type_vocab_size=config.get("type_vocab_size", 2),
        dropout=config.get("hidden_dropout_prob", 0.1),
        layer_norm_eps=config.get("layer_norm_eps", 1e-12),
    )


def _modern_shape(config: dict[str, Any]) -> Shape:
    return Shape(
        **_sizes(config),
        dropout=config.get("mlp_dropout", 0.0),
        layer_norm_eps=config.get("norm_eps", 1e-5),
        architecture="modern",
    )


def _sizes(config: dict[str, Any]) -> dict[str, Any]:
    """Read what both formats have; the intermediate size only where it is not the usual one."""
    for name in ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "max_position_embeddings"):
        if not isinstance(config[name], int) or config[name] < 1:
            raise ValueError(f"{name} is {config[name]!r}")
    plain = Shape(
        layers=config["num_hidden_layers"],
        width=config["hidden_size"],
        heads=config["num_attention_heads"],
        vocab_size=config["vocab_size"],
        max_positions=config["max_position_embeddings"],
        initializer_range=config.get("initializer_range", 0.02),
        architecture="bert" if config["model_type"] == "bert" else "modern",
    )
    names = ("layers", "width", "heads", "vocab_size", "max_positions", "initializer_range")
    inner = config["intermediate_size"]
    given = None if inner == plain.intermediate else inner
    return {name: getattr(plain, name) for name in names} | {"intermediate_size": given}


def _strange(config: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Find settings under which transformers would compute something else: name -> value, what we compute with."""
    if config["model_type"] == "bert":
        ours, found = _BERT, config
    else:
        rotary = (config.get("rope_parameters") or {}).get("full_attention", {})
        given = {"rope_theta": rotary.get("rope_theta"), "rope_type": rotary.get("rope_type")}
        types = config.get("layer_types") or ["full_attention", "sliding_attention"]  # without a list: every third
        ours, found = _MODERN, config | given | {"layer_types": sorted(set(types))}
    return {name: (found[name], value) for name, value in ours.items() if found.get(name, value) != value}
