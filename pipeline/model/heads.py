"""What stands on the encoder: the heads of both pretraining objectives, and the module that is trained.

Letters: B batch, T tokens, D width, M predicted positions, V vocabulary, C classes.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.model.bert import Encoder
from pipeline.model.shape import Shape


class MaskedLanguageHead(nn.Module):
    """Predict the hidden tokens; the decoder is tied to the word embeddings.

    Source: google-research/bert run_pretraining.py get_masked_lm_output.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.transform = nn.Linear(shape.width, shape.width)
        self.norm = nn.LayerNorm(shape.width, eps=shape.layer_norm_eps)
        self.bias_V = nn.Parameter(torch.zeros(shape.vocab_size))

    def forward(self, hidden_MD: Tensor, word_embedding_VD: Tensor) -> Tensor:
        """Return logits_MV for the predicted positions alone."""
        hidden_MD = self.norm(functional.gelu(self.transform(hidden_MD)))
        return functional.linear(hidden_MD, word_embedding_VD, self.bias_V)


class PairHead(nn.Module):
    """Classify a row by its first token: pooler, tanh, dropout, linear.

    The original applies dropout when fine-tuning (run_classifier.py) and none to next sentence prediction.
    """

    def __init__(self, shape: Shape, classes: int = 2, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.pooler = nn.Linear(shape.width, shape.width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(shape.width, classes)

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """Return logits_BC."""
        pooled_BD = torch.tanh(self.pooler(hidden_BTD[:, 0]))
        logits_BC: Tensor = self.classifier(self.dropout(pooled_BD))
        return logits_BC


Sums = tuple[Tensor, Tensor, Tensor]
"""loss_sum, count, correct."""


class Headed(Protocol):
    """The part of an objective that the model needs: its head, and its loss as a sum over what is predicted."""

    def head(self, shape: Shape) -> nn.Module:
        """Make the head with fresh weights."""
        ...

    def loss(self, head: nn.Module, hidden_BTD: Tensor, word_embedding_VD: Tensor, batch: Any) -> Any:
        """Return the terms loss_sum, count and correct of one micro-batch."""
        ...


class Learner(nn.Module):
    """An encoder and the heads of its objectives: what a training job trains.

    Pretraining and fine-tuning differ in their objectives alone.
    """

    def __init__(self, shape: Shape, objectives: Mapping[str, Headed]) -> None:
        super().__init__()
        self.encoder = Encoder(shape)
        self.heads = nn.ModuleDict({name: objective.head(shape) for name, objective in objectives.items()})
        self._objectives = dict(objectives)

    def forward(self, batch: Any) -> dict[str, Sums]:
        """Return loss_sum, count and correct of every objective on one micro-batch.

        In plain tuples, because DeepSpeed looks for the tensors that a backward pass will start from.
        """
        hidden_BTD = self.encoder(batch.ids_BT, batch.segments_BT, batch.attended_BT)
        word_embedding_VD = self.encoder.embeddings.word.weight
        sums: dict[str, Sums] = {}
        for name, objective in self._objectives.items():
            terms = objective.loss(self.heads[name], hidden_BTD, word_embedding_VD, batch)
            sums[name] = (terms.loss_sum, terms.count, terms.correct)
        return sums
