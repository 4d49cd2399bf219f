"""Names and files of the Hugging Face BERT format, both ways.

`save` writes config.json and model.safetensors that `transformers` loads unchanged; equal weights give equal bytes.
Our names are those of `Learner`: `encoder.*` and `heads.<objective>.*`. The masked language head is called `mlm`; any
other head is a pair head, saved as the next sentence head, or as the classifier if it is called `classification`.
"""

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.core.errors import DataError
from pipeline.model.shape import Shape, read_shape
from pipeline.model.tensors import save_tensors

State = dict[str, Tensor]
"""Parameter name -> tensor."""

CLASSIFICATION = "classification"
"""The head of a fine-tuned classifier."""

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
"""Ours and theirs; # is a layer's number, @ the name of the pair head. Q, K and V are apart: fused here, not there."""

_QKV = re.compile(r"encoder\.layers\.(\d+)\.attention\.qkv\.(weight|bias)")
_NOT_WEIGHTS = re.compile(r"embeddings\.position_ids$|^cls\.predictions\.decoder\.")
"""A buffer of old releases, and the decoder that is tied to the word embeddings."""


def save(folder: Path, shape: Shape, state: State) -> None:
    """Write config.json and model.safetensors for the encoder and heads that `state` holds.

    The class that transformers should use follows from the heads: BertForPreTraining, BertForMaskedLM,
    BertForSequenceClassification or BertModel.

    Raises: DataError if there is more than one pair head, for which the format has no names.
    """
    pairs = sorted({name.split(".")[1] for name in state if re.match(r"heads\.(?!mlm\.)", name)})
    if len(pairs) > 1:
        raise DataError(f"heads {', '.join(pairs)}: the Hugging Face BERT format has names for one pair head")
    foreign = _to_foreign(state, pairs[0] if pairs else "nsp")
    config = _config_of(shape, _architecture(foreign), foreign.get("classifier.bias"))
    if config["architectures"] == ["BertModel"]:
        foreign = {name.removeprefix("bert."): tensor for name, tensor in foreign.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(foreign, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load(folder: Path) -> tuple[Shape, State]:
    """Read shape and weights; heads come as `mlm` and as `nsp` or `classification`, poolers alone as `nsp`.

    Raises: DataError if the folder holds no BERT in safetensors.
    """
    shape, weights = read_shape(folder), folder / "model.safetensors"
    if not weights.is_file():
        raise DataError(f"{weights}: missing; expected a Hugging Face folder with config.json and model.safetensors")
    return shape, _to_own(load_file(weights))


@torch.no_grad()
def start_from(module: nn.Module, folder: Path) -> list[str]:
    """Copy the weights in `folder` into a `Learner` and return the names that it had no weights for.

    The pooler is taken over by whatever pair head the module has.

    Raises: DataError if a tensor has another size than the module's.
    """
    _, loaded = load(folder)
    poolers = {name.split(".pooler.")[1]: tensor for name, tensor in loaded.items() if ".pooler." in name}
    missing = []
    for name, parameter in module.named_parameters():
        source = loaded.get(name)
        if source is None and ".pooler." in name:
            source = poolers.get(name.split(".pooler.")[1])
        if source is None:
            missing.append(name)
        elif source.shape != parameter.shape:
            raise DataError(
                f"{folder}: {name} is {tuple(source.shape)}, the order's shape wants {tuple(parameter.shape)}"
            )
        else:
            parameter.copy_(source)
    if stray := [name for name in missing if name.startswith("encoder.")]:
        raise DataError(f"{folder}: no weights for {stray[0]}")
    return missing


def _to_foreign(state: State, pair: str) -> State:
    table = [(own.replace("@", pair), foreign) for own, foreign in _NAMES]
    foreign: State = {}
    for name, tensor in state.items():
        tensor = tensor.detach().to("cpu", torch.float32)
        if match := _QKV.fullmatch(name):
            layer, kind = match.groups()
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                foreign[f"bert.encoder.layer.{layer}.attention.self.{part}.{kind}"] = piece.contiguous()
        else:
            foreign[_translate(name, table)] = tensor.contiguous()
    return foreign


def _to_own(foreign: State) -> State:
    foreign = {_modern(name): tensor for name, tensor in foreign.items() if not _NOT_WEIGHTS.search(name)}
    pair = CLASSIFICATION if "classifier.weight" in foreign else "nsp"
    table = [(theirs, ours.replace("@", pair)) for ours, theirs in _NAMES]
    own: State = {}
    for name, tensor in foreign.items():
        if match := re.fullmatch(r"bert\.encoder\.layer\.(\d+)\.attention\.self\.query\.(weight|bias)", name):
            parts = [foreign[name.replace(".query.", f".{part}.")] for part in ("query", "key", "value")]
            own[f"encoder.layers.{match[1]}.attention.qkv.{match[2]}"] = torch.cat(parts)
        elif ".attention.self." not in name:
            own[_translate(name, table)] = tensor
    return own


def _modern(name: str) -> str:
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    return name if name.startswith(("bert.", "cls.", "classifier.")) else f"bert.{name}"


def _translate(name: str, table: list[tuple[str, str]]) -> str:
    for source, target in table:
        pattern = re.escape(source).replace(r"\#", r"(\d+)")
        if match := re.match(pattern, name):
            return (target.replace("#", match[1]) if "#" in source else target) + name[match.end() :]
    raise DataError(f"{name}: not a tensor of a BERT encoder or its heads")


def _architecture(foreign: State) -> str:
    if "classifier.weight" in foreign:
        return "BertForSequenceClassification"
    if "cls.predictions.bias" in foreign:
        return "BertForPreTraining" if "cls.seq_relationship.bias" in foreign else "BertForMaskedLM"
    return "BertModel"


def _config_of(shape: Shape, architecture: str, classes_bias_C: Tensor | None) -> dict[str, Any]:
    config: dict[str, Any] = {
        "architectures": [architecture],
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
    if classes_bias_C is not None:
        labels = [f"LABEL_{at}" for at in range(len(classes_bias_C))]
        config |= {"id2label": dict(enumerate(labels)), "label2id": {name: at for at, name in enumerate(labels)}}
    return config
