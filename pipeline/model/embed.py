"""Texts to vectors: what the layers of an encoder make of them, for models that are trained on features.

Letters: B texts, T tokens, D width, L layers and the embeddings below them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.model import huggingface
from pipeline.model.encoder import Encoder, encoder_of
from pipeline.text.encode import load

TEXTS_A_BATCH = 32


@dataclass(frozen=True)
class Features:
    """What a model makes of one text."""

    text: str
    tokens: list[str]  # with [CLS] and [SEP]
    states_LTD: NDArray[np.float32]  # the embeddings first, the last layer last

    @property
    def vector_D(self) -> NDArray[np.float32]:
        """The mean of the last layer over all tokens (Reimers and Gurevych 2019, Sentence-BERT, section 3)."""
        vector_D: NDArray[np.float32] = self.states_LTD[-1].mean(0)
        return vector_D

    @property
    def layers_LD(self) -> NDArray[np.float32]:
        """The mean of each layer over all tokens."""
        layers_LD: NDArray[np.float32] = self.states_LTD.mean(1)
        return layers_LD

    def last_TD(self, layers: int) -> NDArray[np.float32]:
        """The last layers of each token, one behind another; four do best (Devlin et al. 2019, section 5.3)."""
        return np.concatenate(list(self.states_LTD[-layers:]), axis=-1)


def embed(weights: Path, vocabulary: Path, texts: Iterable[str]) -> Iterator[Features]:
    """Run texts through a model, in their order; what is longer than it reads is cut."""
    tokenizer = load(vocabulary)
    shape, state = huggingface.load(weights)
    encoder = encoder_of(shape).eval()
    own = {name.removeprefix("encoder."): one for name, one in state.items() if name.startswith("encoder.")}
    encoder.load_state_dict(own)
    tokenizer.enable_truncation(shape.max_positions)
    tokenizer.enable_padding()
    waiting = iter(texts)
    while batch := list(islice(waiting, TEXTS_A_BATCH)):
        encoded = tokenizer.encode_batch(batch)
        states_LBTD = states(encoder, torch.tensor([one.ids for one in encoded]), _attended(encoded))
        for at, (text, one) in enumerate(zip(batch, encoded, strict=True)):
            length = sum(one.attention_mask)
            yield Features(text, one.tokens[:length], states_LBTD[:, at, :length].numpy())


@torch.no_grad()
def states(encoder: Encoder, ids_BT: Tensor, attended_BT: Tensor) -> Tensor:
    """Return the states behind the embeddings and each layer: states_LBTD."""
    found: list[Tensor] = []
    parts = (encoder.embeddings, *encoder.layers)
    hooks = [part.register_forward_hook(lambda module, given, made: found.append(made)) for part in parts]
    try:
        found[-1:] = [encoder(ids_BT, torch.zeros_like(ids_BT), attended_BT)]  # behind a norm, where there is one
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(found)


def _attended(encoded: list[Any]) -> Tensor:
    return torch.tensor([one.attention_mask for one in encoded], dtype=torch.bool)
