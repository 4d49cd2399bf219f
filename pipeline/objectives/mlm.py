"""The head and loss of the masked language model; what is hidden is decided in `pipeline.objectives.masking`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.model.heads import Hidden
    from pipeline.model.shape import Shape
    from pipeline.objectives import Batch, Terms


def head(shape: "Shape") -> "nn.Module":
    """Make the head that scores the vocabulary at hidden positions."""
    from pipeline.model.heads import MaskedLanguageHead

    return MaskedLanguageHead(shape)


def loss(head: "nn.Module", hidden: "Hidden", word_embedding_VD: "Tensor", batch: "Batch") -> "Terms":
    """Sum the cross-entropies at the predicted positions; no other position reaches the head."""
    from pipeline.objectives import Terms

    loss_sum, correct = head(hidden.predicted_MD, word_embedding_VD, batch.labels_M)
    return Terms(loss_sum, correct.new_tensor(len(batch.labels_M)), correct)
