"""The Hugging Face BERT format: Q, K and V are apart there and fused here."""

import re
from typing import Any

import torch

from pipeline.core.errors import DataError
from pipeline.model.names import TUNED, State, Table, heads_in, reversed_table, translate
from pipeline.model.shape import Shape

_NAMES = [
    ("encoder.embeddings.word.", "bert.embeddings.word_embeddings."),
    ("encoder.embeddings.position.", "bert.embeddings.position_embeddings."),
    ("encoder.embeddings.segment.", "bert.embeddings.token_type_embeddings."),
    ("encoder.embeddings.norm.", "bert.embeddings.LayerNorm."),
    ("encoder.layers.#.attention.output.", "bert.encoder.layer.#.attention.output.dense."),
    ("encoder.layers.#.attention_norm.", "bert.encoder.layer.#.attention.output.LayerNorm."),
    ("encoder.layers.#.inner.", "bert.encoder.layer.#.intermediate.dense."),
    ("encoder.layers.#.outer.", "bert.encoder.layer.#.output.dense."),
    ("encoder.layers.#.outer_norm.", "bert.encoder.layer.#.output.LayerNorm."),
    ("heads.mlm.transform.", "cls.predictions.transform.dense."),
    ("heads.mlm.norm.", "cls.predictions.transform.LayerNorm."),
    ("heads.mlm.bias_V", "cls.predictions.bias"),
    ("heads.@.pooler.", "bert.pooler.dense."),
    ("heads.@.classifier.", "%"),
]
"""Ours and theirs; # is a layer's number, @ the name of the head that is not `mlm`, % what its last matrix is called."""
_LAST = {"nsp": "cls.seq_relationship.", "sop": "cls.seq_relationship.", "span": "qa_outputs."}
"""The others' is `classifier.`."""

_QKV = re.compile(r"encoder\.layers\.(\d+)\.attention\.qkv\.(weight|bias)")
_QUERY = re.compile(r"bert\.encoder\.layer\.(\d+)\.attention\.self\.query\.(weight|bias)")
_PARTS = ("query", "key", "value")
_NOT_WEIGHTS = re.compile(r"embeddings\.position_ids$|^cls\.predictions\.decoder\.")
"""A buffer of old releases, and the decoder that is tied to the word embeddings."""


def to_foreign(state: State) -> State:
    """Rename and part our tensors.

    Raises: DataError if there is more than one head besides `mlm`, for which the format has no names.
    """
    others = [head for head in heads_in(state) if head != "mlm"]
    if len(others) > 1:
        raise DataError(f"heads {', '.join(others)}: the Hugging Face BERT format has names for one pair head")
    table = _table(*others)
    foreign: State = {}
    for name, tensor in state.items():
        if match := _QKV.fullmatch(name):
            layer, kind = match.groups()
            for part, piece in zip(_PARTS, tensor.chunk(3), strict=True):
                foreign[f"bert.encoder.layer.{layer}.attention.self.{part}.{kind}"] = piece
        else:
            foreign[translate(name, table)] = tensor
    if architecture(state) == "BertModel":
        foreign = {name.removeprefix("bert."): tensor for name, tensor in foreign.items()}
    return foreign


def to_own(foreign: State, head: str | None) -> State:
    """Rename and fuse their tensors; `head` is what a fine-tuned model does. A pooler alone comes as that of `nsp`."""
    foreign = {_full(name): tensor for name, tensor in foreign.items() if not _NOT_WEIGHTS.search(name)}
    table = reversed_table(_table(head or "nsp"))
    own: State = {}
    for name, tensor in foreign.items():
        if match := _QUERY.fullmatch(name):
            parts = [foreign[name.replace(".query.", f".{part}.")] for part in _PARTS]
            own[f"encoder.layers.{match[1]}.attention.qkv.{match[2]}"] = torch.cat(parts)
        elif ".attention.self." not in name:
            own[translate(name, table)] = tensor
    return own


def config_of(shape: Shape) -> dict[str, Any]:
    """Give config.json, architecture and labels apart."""
    return {
        "attention_probs_dropout_prob": shape.dropout,
        "dtype": "float32",
        "hidden_act": "gelu",
        "hidden_dropout_prob": shape.dropout,
        "hidden_size": shape.width,
        "initializer_range": shape.initializer_range,
        "intermediate_size": shape.intermediate,
        "layer_norm_eps": shape.layer_norm_eps,
        "max_position_embeddings": shape.max_positions,
        "model_type": "bert",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "pad_token_id": 0,
        "type_vocab_size": shape.type_vocab_size,
        "vocab_size": shape.vocab_size,
    }


def architecture(state: State) -> str:
    """Name the class in transformers for the heads that a state of ours holds."""
    heads = heads_in(state)
    if tuned := [TUNED[head] for head in heads if head in TUNED]:
        return f"Bert{tuned[0]}"
    if "mlm" in heads:
        pairs = any(f"heads.{head}.classifier.bias" in state for head in heads)
        return "BertForPreTraining" if pairs else "BertForMaskedLM"
    return "BertModel"


def _table(head: str = "nsp") -> Table:
    last = _LAST.get(head, "classifier.")
    return [(own.replace("@", head), theirs.replace("%", last)) for own, theirs in _NAMES]


def _full(name: str) -> str:
    """Undo the names of releases before 2020, and of a model without heads."""
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    return name if name.startswith(("bert.", "cls.", "classifier.", "qa_outputs.")) else f"bert.{name}"
