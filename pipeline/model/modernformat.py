"""The Hugging Face ModernBERT format: the masked language head and the classifier share their names there."""

from typing import Any

from pipeline.core.errors import DataError
from pipeline.model.names import CLASSIFICATION, State, Table, reversed_table, translate
from pipeline.model.shape import ROTARY_THETA, Shape

_NAMES = [
    ("encoder.embeddings.word.", "model.embeddings.tok_embeddings."),
    ("encoder.embeddings.norm.", "model.embeddings.norm."),
    ("encoder.layers.#.attention_norm.", "model.layers.#.attn_norm."),
    ("encoder.layers.#.attention.qkv.", "model.layers.#.attn.Wqkv."),
    ("encoder.layers.#.attention.output.", "model.layers.#.attn.Wo."),
    ("encoder.layers.#.inner_norm.", "model.layers.#.mlp_norm."),
    ("encoder.layers.#.inner.", "model.layers.#.mlp.Wi."),
    ("encoder.layers.#.outer.", "model.layers.#.mlp.Wo."),
    ("encoder.norm.", "model.final_norm."),
    ("heads.@.transform.", "head.dense."),
    ("heads.@.norm.", "head.norm."),
    ("heads.mlm.bias_V", "decoder.bias"),
    ("heads.classification.classifier.", "classifier."),
]
"""Ours and theirs; # is a layer's number, @ the name of the head."""

_TIED = "decoder.weight"
_HEADS = ("mlm", CLASSIFICATION)


def to_foreign(state: State) -> State:
    """Rename our tensors.

    Raises: DataError if there is a head that the format has no names for, or more than one.
    """
    heads = sorted({name.split(".")[1] for name in state if name.startswith("heads.")})
    if len(heads) > 1 or any(name not in _HEADS for name in heads):
        raise DataError(f"heads {', '.join(heads)}: the ModernBERT format has names for one of {', '.join(_HEADS)}")
    table = _table(*heads)
    foreign = {translate(name, table): tensor for name, tensor in state.items()}
    return foreign if heads else {name.removeprefix("model."): tensor for name, tensor in foreign.items()}


def to_own(foreign: State) -> State:
    """Rename their tensors."""
    bare = not any(name.startswith("model.") for name in foreign)
    table = reversed_table(_table(CLASSIFICATION if "classifier.weight" in foreign else "mlm"))
    names = {f"model.{name}" if bare else name: tensor for name, tensor in foreign.items() if name != _TIED}
    return {translate(name, table): tensor for name, tensor in names.items()}


def config_of(shape: Shape, foreign: State) -> dict[str, Any]:
    """Give config.json, labels apart."""
    rotary = {"rope_theta": ROTARY_THETA, "rope_type": "default"}
    return {
        "architectures": [_architecture(foreign)],
        "attention_dropout": shape.dropout,
        "bos_token_id": None,
        "classifier_dropout": shape.dropout,
        "classifier_pooling": "cls",
        "cls_token_id": None,
        "dtype": "float32",
        "embedding_dropout": shape.dropout,
        "eos_token_id": None,
        "hidden_activation": "gelu",
        "hidden_size": shape.width,
        "initializer_range": shape.initializer_range,
        "intermediate_size": shape.intermediate,
        "layer_types": ["full_attention"] * shape.layers,
        "max_position_embeddings": shape.max_positions,
        "mlp_dropout": shape.dropout,
        "model_type": "modernbert",
        "norm_eps": shape.layer_norm_eps,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "pad_token_id": 0,
        "rope_parameters": {"full_attention": rotary, "sliding_attention": rotary},
        "sep_token_id": None,
        "vocab_size": shape.vocab_size,
    }


def _table(head: str = "mlm") -> Table:
    return [(own.replace("@", head), theirs) for own, theirs in _NAMES]


def _architecture(foreign: State) -> str:
    if "classifier.weight" in foreign:
        return "ModernBertForSequenceClassification"
    return "ModernBertForMaskedLM" if "decoder.bias" in foreign else "ModernBertModel"
