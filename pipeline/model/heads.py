"""What stands on the encoder: the heads of pretraining and of fine-tuning, and the module that is trained.

Letters: B batch, T tokens, D width, M predicted positions, V vocabulary, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.model.crossentropy import linear_cross_entropy
from pipeline.model.dropout import Dropout
from pipeline.model.encoder import encoder_of
from pipeline.model.shape import Shape


class MaskedLanguageHead(nn.Module):
    """Predict the hidden tokens; the decoder is tied to the word embeddings.

    Source: google-research/bert run_pretraining.py get_masked_lm_output; ModernBERT's has no biases but the decoder's.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        biases = shape.architecture == "bert"
        self.transform = nn.Linear(shape.width, shape.width, bias=biases)
        self.norm = nn.LayerNorm(shape.width, eps=shape.layer_norm_eps, bias=biases)
        self.bias_V = nn.Parameter(torch.zeros(shape.vocab_size))

    def forward(self, hidden_MD: Tensor, word_embedding_VD: Tensor, labels_M: Tensor | None = None) -> Any:
        """Return logits_MV for the predicted positions alone; with labels, the summed loss and how many are right."""
        hidden_MD = self.norm(functional.gelu(self.transform(hidden_MD)))
        if labels_M is None:
            return functional.linear(hidden_MD, word_embedding_VD, self.bias_V)
        return linear_cross_entropy(hidden_MD, word_embedding_VD, self.bias_V, labels_M)


class PairHead(nn.Module):
    """Classify a row by its first token: pooler, tanh, dropout, linear.

    The original applies dropout when fine-tuning (run_classifier.py) and none to next sentence prediction.
    """

    def __init__(self, shape: Shape, classes: int = 2, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.pooler = nn.Linear(shape.width, shape.width)
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(shape.width, classes)

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """Return logits_BC; only the first token of each row is looked at."""
        pooled_BD = torch.tanh(self.pooler(hidden_BTD[:, 0]))
        logits_BC: Tensor = self.classifier(self.dropout(pooled_BD))
        return logits_BC


class TokenHead(nn.Module):
    """Classify tokens: dropout, linear.

    Source: google-research/bert run_squad.py, which drops nothing; for entities as Devlin et al. 2019, section 5.3.
    """

    def __init__(self, shape: Shape, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(shape.width, classes)

    def forward(self, hidden_MD: Tensor) -> Tensor:
        """Return logits_MC."""
        logits_MC: Tensor = self.classifier(self.dropout(hidden_MD))
        return logits_MC


class ModernTokenHead(nn.Module):
    """Classify tokens as ModernBERT does: the masked language head's transform, dropout, linear."""

    def __init__(self, shape: Shape, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.transform = nn.Linear(shape.width, shape.width, bias=False)
        self.norm = nn.LayerNorm(shape.width, eps=shape.layer_norm_eps, bias=False)
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(shape.width, classes)

    def forward(self, hidden_MD: Tensor) -> Tensor:
        """Return logits_MC."""
        hidden_MD = self.norm(functional.gelu(self.transform(hidden_MD)))
        logits_MC: Tensor = self.classifier(self.dropout(hidden_MD))
        return logits_MC


class ModernClassifier(ModernTokenHead):
    """Classify a row by its first token."""

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """Return logits_BC; only the first token of each row is looked at."""
        return super().forward(hidden_BTD[:, 0])


def classifier_of(shape: Shape, classes: int) -> nn.Module:
    """Make the head that tells so many classes of rows apart; with one, it gives a row a number."""
    if shape.architecture == "bert":
        return PairHead(shape, classes, dropout=shape.dropout)
    return ModernClassifier(shape, classes, dropout=shape.dropout)


def tagger_of(shape: Shape, classes: int) -> nn.Module:
    """Make the head that tells so many classes of tokens apart."""
    if shape.architecture == "bert":
        return TokenHead(shape, classes, dropout=shape.dropout)
    return ModernTokenHead(shape, classes, dropout=shape.dropout)


def pointer_of(shape: Shape) -> nn.Module:
    """Make the head that scores each token as the start and as the end of an answer."""
    if shape.architecture == "bert":
        return TokenHead(shape, 2, dropout=0.0)
    return ModernTokenHead(shape, 2, dropout=shape.dropout)


@dataclass(frozen=True)
class Hidden:
    """The states that objectives look at; no others leave the last layer."""

    first_B1D: Tensor  # of each row's first token
    predicted_MD: Tensor


Sums = tuple[Tensor, Tensor, Tensor]
"""loss_sum, count, correct."""


class Headed(Protocol):
    """The part of an objective that the model needs: its head, and its loss as a sum over what is predicted."""

    def head(self, shape: Shape) -> nn.Module:
        """Make the head with fresh weights."""
        ...

    def loss(self, head: nn.Module, hidden: Hidden, word_embedding_VD: Tensor, batch: Any) -> Any:
        """Return the terms loss_sum, count and correct of one micro-batch."""
        ...


class Learner(nn.Module):
    """An encoder and the heads of its objectives: what a training job trains.

    Pretraining and fine-tuning differ in their objectives alone.
    """

    def __init__(self, shape: Shape, objectives: Mapping[str, Headed], recompute: bool = False) -> None:
        """Make it; `recompute` computes activations again in the backward pass instead of keeping them."""
        super().__init__()
        self.encoder = encoder_of(shape, recompute=recompute)
        self.heads = nn.ModuleDict({name: objective.head(shape) for name, objective in objectives.items()})
        self._objectives = dict(objectives)

    def forward(self, batch: Any) -> dict[str, Sums]:
        """Return loss_sum, count and correct of every objective on one micro-batch.

        In plain tuples, because DeepSpeed looks for the tensors that a backward pass will start from.
        """
        hidden = self.states(batch)
        word_embedding_VD = self.encoder.word_embedding_VD
        sums: dict[str, Sums] = {}
        for name, objective in self._objectives.items():
            terms = objective.loss(self.heads[name], hidden, word_embedding_VD, batch)
            sums[name] = (terms.loss_sum, terms.count, terms.correct)
        return sums

    def states(self, batch: Any) -> Hidden:
        """Run the encoder on one micro-batch."""
        first_B = _first(batch)
        attended = batch.attended_BT if batch.packed is None else batch.packed
        chosen_M = torch.cat((first_B, batch.predicted_M))
        chosen_MD = self.encoder(batch.ids_BT, batch.segments_BT, attended, chosen_M)
        return Hidden(chosen_MD[: len(first_B), None], chosen_MD[len(first_B) :])

    def compile_parts(self) -> None:
        """Let torch.compile make the kernels of embeddings and layers, for rows of any length, at their first call.

        Part by part, because layers are alike and so compiled once. Tried with ZeRO 0 and 2, called before `Engine` is made;
        ZeRO 3 puts hooks inside the parts, which are then compiled anew for each layer until torch gives up. On a CPU it
        brings nothing. The loss over the vocabulary stays as it is: it is matrix products and little else.
        """
        for part in (self.encoder.embeddings, *self.encoder.layers):
            part.compile(dynamic=True)


def _first(batch: Any) -> Tensor:
    """Return the flat positions of the first tokens of rows."""
    if batch.packed is not None:
        return batch.packed.starts_B[:-1].long()  # type: ignore[no-any-return]
    rows, tokens = batch.ids_BT.shape
    return torch.arange(0, rows * tokens, tokens, device=batch.ids_BT.device)
