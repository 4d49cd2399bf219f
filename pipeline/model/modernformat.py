"""The Hugging Face ModernBERT format: the masked language head and those of fine-tuned models share their names there."""

from typing import Any

from pipeline.core.errors import DataError
from pipeline.model.names import TUNED, State, Table, heads_in, reversed_table, translate
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
    ("heads.@.classifier.", "classifier."),
]
"""Ours and theirs; # is a layer's number, @ the name of the head."""

_TIED = "decoder.weight"
_HEADS = ("mlm", *TUNED)


def to_foreign(state: State) -> State:
    """Rename our tensors.

    Raises: DataError if there is a head that the format has no names for, or more than one.
    """
    heads = heads_in(state)
    if len(heads) > 1 or any(name not in _HEADS for name in heads):
        raise DataError(f"heads {', '.join(heads)}: the ModernBERT format has names for one of {', '.join(_HEADS)}")
    table = _table(*heads)
    foreign = {translate(name, table): tensor for name, tensor in state.items()}
    return foreign if heads else {name.removeprefix("model."): tensor for name, tensor in foreign.items()}


def to_own(foreign: State, head: str | None) -> State:
    """Rename their tensors; `head` is what a fine-tuned model does."""
    bare = not any(name.startswith("model.") for name in foreign)
    table = reversed_table(_table(head or "mlm"))
    names = {f"model.{name}" if bare else name: tensor for name, tensor in foreign.items() if name != _TIED}
    return {translate(name, table): tensor for name, tensor in names.items()}


def config_of(shape: Shape) -> dict[str, Any]:
    """Give config.json, architecture and labels apart."""
    rotary = {"rope_theta": ROTARY_THETA, "rope_type": "default"}
    return {
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


def architecture(state: State) -> str:
    """Name the class in transformers for the head that a state of ours holds."""
    heads = heads_in(state)
    if not heads:
        return "ModernBertModel"
    return f"ModernBert{TUNED.get(heads[0], 'ForMaskedLM')}"
