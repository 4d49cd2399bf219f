"""The one trunk of both architectures: embeddings, layers, and a norm at the end where the architecture has one.

Letters: B batch, T tokens, N tokens of all rows, D width, V vocabulary, M chosen positions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pipeline.model import bert, modern
from pipeline.model.attention import Attended, Packed, Rotary, rotary_of
from pipeline.model.shape import ROTARY_THETA, Shape


@dataclass(frozen=True)
class Parts:
    """What an architecture is made of."""

    embeddings: Callable[[Shape], bert.Embeddings | modern.Embeddings]
    layer: Callable[[Shape, int], nn.Module]  # and its number, from 0
    norm: Callable[[Shape], nn.Module]  # behind the last layer
    rotary: bool


ARCHITECTURES = {
    "bert": Parts(bert.Embeddings, lambda shape, _: bert.Layer(shape), lambda _: nn.Identity(), rotary=False),
    "modern": Parts(
        modern.Embeddings, lambda shape, at: modern.Layer(shape, first=at == 0), modern.norm_of, rotary=True
    ),
}
"""The choices of `recipe.model.architecture`."""


class Encoder(nn.Module):
    """Token ids to one vector a token."""

    def __init__(self, shape: Shape, *, recompute: bool = False) -> None:
        """Make it with torch's own weights (see `initialize`); `recompute` keeps no activations inside layers."""
        super().__init__()
        parts = ARCHITECTURES[shape.architecture]
        self.embeddings = parts.embeddings(shape)
        self.layers = nn.ModuleList([parts.layer(shape, at) for at in range(shape.layers)])
        self.norm = parts.norm(shape)
        self._rotary, self._head_width, self._recompute = parts.rotary, shape.head_width, recompute
        self.frozen = 0
        """How many parts learn nothing, from the bottom: embeddings, layers. They cost a forward pass alone."""

    @property
    def word_embedding_VD(self) -> Tensor:
        """The word embeddings, to which the masked language head is tied."""
        return self.embeddings.word.weight

    def forward(
        self, ids_BT: Tensor, segments_BT: Tensor, attended: Attended, chosen_M: Tensor | None = None
    ) -> Tensor:
        """Return hidden_BTD of the last layer, or chosen_MD of the flat positions that are asked for.

        What is not asked for is left out of the last layer behind its attention: four fifths of it in pretraining.
        `attended` is False on padding, None where there is none; with `Packed` all rows are one: [1, N].
        """
        positions_BT = _positions(ids_BT, attended)
        with self._learning(0):
            hidden: Tensor = self.embeddings(ids_BT, segments_BT, positions_BT)
        rotary = rotary_of(positions_BT, self._head_width, ROTARY_THETA, hidden.dtype) if self._rotary else None
        last = len(self.layers)
        for part, layer in enumerate(self.layers, start=1):
            with self._learning(part):
                hidden = self._through(layer, hidden, attended, rotary, chosen_M if part == last else None)
        with self._learning(last):
            normed: Tensor = self.norm(hidden)
        return normed

    def _learning(self, part: int) -> torch.set_grad_enabled:
        """Compute gradients of a part, the embeddings being 0, unless it is frozen."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and part >= self.frozen)

    def _through(
        self, layer: nn.Module, hidden: Tensor, attended: Attended, rotary: Rotary | None, chosen_M: Tensor | None
    ) -> Tensor:
        if self._recompute and torch.is_grad_enabled():
            return checkpoint(layer, hidden, attended, rotary, chosen_M, use_reentrant=False)  # type: ignore[no-any-return]
        return layer(hidden, attended, rotary, chosen_M)  # type: ignore[no-any-return]


def encoder_of(shape: Shape, *, recompute: bool = False) -> Encoder:
    """Make the encoder of a shape's architecture."""
    return Encoder(shape, recompute=recompute)


def _positions(ids_BT: Tensor, attended: Attended) -> Tensor:
    """Number the tokens of each row from 0: one row for all where rows are padded."""
    if isinstance(attended, Packed):
        return attended.positions_N(ids_BT.shape[1])[None]
    return torch.arange(ids_BT.shape[1], device=ids_BT.device)[None]


@torch.no_grad()
def initialize(module: nn.Module, shape: Shape, seed: int) -> None:
    """Draw all weights: normal with the shape's standard deviation; biases zero, LayerNorm one and zero.

    In the modern architecture the projections that end a layer's two halves begin at zero: each layer begins as the
    identity. The draws depend on the seed and on the order of the parameters, nothing else.
    Source: google-research/bert modeling.py create_initializer (there truncated at two deviations).
    """
    generator = torch.Generator().manual_seed(seed)
    norms = {id(part.weight) for part in module.modules() if isinstance(part, nn.LayerNorm)}
    last = {id(weight) for weight in _last_projections(module)} if shape.architecture == "modern" else set()
    for parameter in module.parameters():
        if id(parameter) in norms:
            parameter.fill_(1.0)
        elif parameter.ndim < 2 or id(parameter) in last:
            parameter.zero_()
        else:
            parameter.normal_(0.0, shape.initializer_range, generator=generator)


def _last_projections(module: nn.Module) -> list[Tensor]:
    layers = [part for part in module.modules() if isinstance(part, modern.Layer)]
    return [weight for layer in layers for weight in (layer.attention.output.weight, layer.outer.weight)]
