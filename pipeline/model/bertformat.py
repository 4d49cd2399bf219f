"""The Hugging Face BERT format: Q, K and V are apart there and fused here."""

import re
from typing import Any

import torch

from pipeline.core.errors import DataError
from pipeline.model.names import CLASSIFICATION, State, Table, reversed_table, translate
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
    ("heads.classification.classifier.", "classifier."),
    ("heads.@.pooler.", "bert.pooler.dense."),
    ("heads.@.classifier.", "cls.seq_relationship."),
]
"""Ours and theirs; # is a layer's number, @ the name of the pair head."""

_QKV = re.compile(r"encoder\.layers\.(\d+)\.attention\.qkv\.(weight|bias)")
_QUERY = re.compile(r"bert\.encoder\.layer\.(\d+)\.attention\.self\.query\.(weight|bias)")
_PARTS = ("query", "key", "value")
_NOT_WEIGHTS = re.compile(r"embeddings\.position_ids$|^cls\.predictions\.decoder\.")
"""A buffer of old releases, and the decoder that is tied to the word embeddings."""


def to_foreign(state: State) -> State:
    """Rename and part our tensors.

    Raises: DataError if there is more than one pair head, for which the format has no names.
    """
    pairs = sorted({name.split(".")[1] for name in state if re.match(r"heads\.(?!mlm\.)", name)})
    if len(pairs) > 1:
        raise DataError(f"heads {', '.join(pairs)}: the Hugging Face BERT format has names for one pair head")
    table = _table(pairs[0] if pairs else "nsp")
    foreign: State = {}
    for name, tensor in state.items():
        if match := _QKV.fullmatch(name):
            layer, kind = match.groups()
            for part, piece in zip(_PARTS, tensor.chunk(3), strict=True):
                foreign[f"bert.encoder.layer.{layer}.attention.self.{part}.{kind}"] = piece
        else:
            foreign[translate(name, table)] = tensor
    if _architecture(foreign) == "BertModel":
        foreign = {name.removeprefix("bert."): tensor for name, tensor in foreign.items()}
    return foreign


def to_own(foreign: State) -> State:
    """Rename and fuse their tensors; a pooler alone comes as that of `nsp`."""
    foreign = {_full(name): tensor for name, tensor in foreign.items() if not _NOT_WEIGHTS.search(name)}
    table = reversed_table(_table(CLASSIFICATION if "classifier.weight" in foreign else "nsp"))
    own: State = {}
    for name, tensor in foreign.items():
        if match := _QUERY.fullmatch(name):
            parts = [foreign[name.replace(".query.", f".{part}.")] for part in _PARTS]
            own[f"encoder.layers.{match[1]}.attention.qkv.{match[2]}"] = torch.cat(parts)
        elif ".attention.self." not in name:
            own[translate(name, table)] = tensor
    return own


def config_of(shape: Shape, foreign: State) -> dict[str, Any]:
    """Give config.json, labels apart."""
    return {
        "architectures": [_architecture(foreign)],
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


def _table(pair: str) -> Table:
    return [(own.replace("@", pair), theirs) for own, theirs in _NAMES]


def _full(name: str) -> str:
    """Undo the names of releases before 2020, and of a model without heads."""
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    return name if name.startswith(("bert.", "cls.", "classifier.")) else f"bert.{name}"


def _architecture(foreign: State) -> str:
    if "classifier.weight" in foreign:
        return "BertForSequenceClassification"
    if "cls.predictions.bias" in foreign:
        return "BertForPreTraining" if "cls.seq_relationship.bias" in foreign else "BertForMaskedLM"
    return "BertModel"
