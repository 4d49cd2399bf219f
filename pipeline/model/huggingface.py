"""Files of the Hugging Face formats, both ways: BERT and ModernBERT, after the architecture of the shape.

`save` writes config.json and model.safetensors that `transformers` loads unchanged; equal weights give equal bytes.
Our names are those of `Learner`: `encoder.*` and `heads.<objective>.*`. The masked language head is called `mlm`, those
of fine-tuned models after what they do (`names.TUNED`); any other is a pair head, saved as the next sentence head.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.core.errors import DataError
from pipeline.model import bertformat, modernformat
from pipeline.model.names import TUNED, State, heads_in
from pipeline.model.shape import Shape, read_shape
from pipeline.model.tensors import save_tensors

__all__ = ["State", "load", "save", "start_from"]

_FORMATS = {"bert": bertformat, "modern": modernformat}
_SHARED = (".pooler.", ".transform.", ".norm.")
"""Parts of heads that any head takes over from another; what decides between classes is its own."""
_NAMED = ("classify", "regress", "tag")
"""Heads whose outputs have names."""
_ADDED = re.compile(rf"heads\.(?:{'|'.join(_NAMED)})\.classifier\.")
"""Output layers whose outputs mean what their task says: never another task's, even with as many classes."""


def save(folder: Path, shape: Shape, state: State, labels: Sequence[str] = ()) -> None:
    """Write config.json and model.safetensors for the encoder and heads that `state` holds.

    The class that transformers should use follows from the heads, e.g. BertForPreTraining, BertForMaskedLM,
    BertForSequenceClassification or BertModel. `labels` name what a classifier tells apart.

    Raises: DataError if the format has no names for the heads.
    """
    form = _FORMATS[shape.architecture]
    plain = {name: tensor.detach().to("cpu", torch.float32) for name, tensor in state.items()}
    foreign = {name: tensor.contiguous() for name, tensor in form.to_foreign(plain).items()}
    config = form.config_of(shape) | {"architectures": [form.architecture(plain)]} | _labels(plain, labels)
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(foreign, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load(folder: Path) -> tuple[Shape, State]:
    """Read shape and weights; heads come as `mlm`, as `nsp` or by what they do, poolers alone as `nsp`.

    Raises: DataError if the folder holds no BERT or ModernBERT in safetensors.
    """
    shape, weights = read_shape(folder), folder / "model.safetensors"
    if not weights.is_file():
        raise DataError(f"{weights}: missing; expected a Hugging Face folder with config.json and model.safetensors")
    foreign = load_file(weights)
    return shape, _FORMATS[shape.architecture].to_own(foreign, _tuned(folder, foreign))


@torch.no_grad()
def start_from(module: nn.Module, folder: Path) -> list[str]:
    """Copy the weights in `folder` into a `Learner` and return the names that it had no weights for.

    What lies in a head before its last matrix is taken over by whatever head the module has. The last matrix of a head whose
    outputs have names is not: it is the layer that fine-tuning adds (Devlin et al. 2019, section 3).

    Raises: DataError if a tensor has another size than the module's.
    """
    _, loaded = load(folder)
    shared = {part: tensor for name, tensor in loaded.items() if (part := _shared_part(name))}
    missing = []
    for name, parameter in module.named_parameters():
        source = None if _ADDED.match(name) else loaded.get(name, shared.get(_shared_part(name)))
        if source is None:
            missing.append(name)
        else:
            _copy(name, source, parameter, folder)
    if stray := [name for name in missing if name.startswith("encoder.")]:
        raise DataError(f"{folder}: no weights for {stray[0]}")
    return missing


def _labels(state: State, labels: Sequence[str]) -> dict[str, Any]:
    """Name the outputs of a classifier; those of choices and spans have no names."""
    counts = [len(state[f"heads.{head}.classifier.bias"]) for head in heads_in(state) if head in _NAMED]
    if not counts:
        return {}
    names = list(labels) or [f"LABEL_{at}" for at in range(counts[0])]
    return {"id2label": dict(enumerate(names)), "label2id": {name: at for at, name in enumerate(names)}}


def _tuned(folder: Path, foreign: State) -> str | None:
    """Tell what a fine-tuned model does, if it is one: by its class, and a classifier with one output is a regressor."""
    last = next((foreign[name] for name in ("classifier.weight", "qa_outputs.weight") if name in foreign), None)
    if last is None:
        return None
    (named, *_) = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or [""]
    heads = [head for head, ending in TUNED.items() if named.endswith(ending)] or ["classify"]
    return heads[-1] if len(last) == 1 else heads[0]


def _shared_part(name: str) -> str:
    """Return what a head's tensor is called whatever the head; nothing for all others."""
    part = name.removeprefix("heads.").partition(".")[2]
    return part if name.startswith("heads.") and f".{part}".startswith(_SHARED) else ""


def _copy(name: str, source: Tensor, parameter: Tensor, folder: Path) -> None:
    if source.shape != parameter.shape:
        raise DataError(f"{folder}: {name} is {tuple(source.shape)}, the order's shape wants {tuple(parameter.shape)}")
    parameter.copy_(source)
