"""What a masked language model puts in place of [MASK]."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from pipeline.core.errors import ConfigError
from pipeline.model import huggingface
from pipeline.model.encoder import encoder_of
from pipeline.model.heads import MaskedLanguageHead
from pipeline.model.huggingface import State
from pipeline.text.encode import load
from pipeline.text.vocab import MASK

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Answer:
    """A piece that could stand at a [MASK], and how sure the model is."""

    piece: str
    probability: float


class Filler:
    """A model and its tokenizer, loaded once for many texts.

    Raises: ConfigError if the model has no masked language head.
    """

    def __init__(self, weights: Path, vocabulary: Path) -> None:
        self._tokenizer = load(vocabulary)
        self._tokenizer.encode_special_tokens = False  # [MASK] in the text is the token
        self._shape, state = huggingface.load(weights)
        if "heads.mlm.bias_V" not in state:
            raise ConfigError(f"{weights}: has no masked language head; name a pretrained model")
        self._encoder = _loaded(encoder_of(self._shape), state, "encoder.")
        self._head = _loaded(MaskedLanguageHead(self._shape), state, "heads.mlm.")

    @torch.no_grad()
    def fill(self, text: str, top: int) -> list[list[Answer]]:
        """Give the `top` likeliest pieces for each [MASK] of a text, in the order of the text.

        Raises: ConfigError if the text has no [MASK] or is too long.
        """
        ids = self._tokenizer.encode(text).ids
        mask_id = self._tokenizer.token_to_id(MASK)
        if mask_id not in ids:
            raise ConfigError(f"{text!r}: has no {MASK}; write it where a word is to be filled in")
        if len(ids) > self._shape.max_positions:
            raise ConfigError(
                f"the text has {len(ids)} tokens and the model reads {self._shape.max_positions}; shorten it"
            )
        ids_BT = torch.tensor([ids])
        hidden_BTD = self._encoder(ids_BT, torch.zeros_like(ids_BT), None)
        share_MV = self._head(hidden_BTD[ids_BT == mask_id], self._encoder.word_embedding_VD).softmax(-1)
        best = share_MV.topk(min(top, self._shape.vocab_size))
        return [
            [Answer(str(self._tokenizer.id_to_token(at)), share) for at, share in zip(row, shares, strict=True)]
            for row, shares in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]


def fill_masks(weights: Path, vocabulary: Path, text: str, top: int) -> list[list[Answer]]:
    """Give the `top` likeliest pieces for each [MASK] of a text, in the order of the text.

    Raises: ConfigError if the text has no [MASK], is too long, or the model has no masked language head.
    """
    return Filler(weights, vocabulary).fill(text, top)


def _loaded(module: Module, state: State, prefix: str) -> Module:
    """Put the weights below a prefix into a module."""
    module.load_state_dict({name.removeprefix(prefix): one for name, one in state.items() if name.startswith(prefix)})
    return module.eval()
