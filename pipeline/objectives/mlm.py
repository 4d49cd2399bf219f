"""The head and loss of the masked language model; what is hidden is decided in `pipeline.objectives.masking`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.model.shape import Shape
    from pipeline.objectives import Batch, Terms


def head(shape: "Shape") -> "nn.Module":
    """Make the head that scores the vocabulary at hidden positions."""
    from pipeline.model.heads import MaskedLanguageHead

    return MaskedLanguageHead(shape)


def loss(head: "nn.Module", hidden_BTD: "Tensor", word_embedding_VD: "Tensor", batch: "Batch") -> "Terms":
    """Sum the cross-entropies at the predicted positions; no other position reaches the head."""
    from torch.nn.functional import cross_entropy

    from pipeline.objectives import Terms

    hidden_MD = hidden_BTD.flatten(0, 1)[batch.predicted_M]
    logits_MV = head(hidden_MD, word_embedding_VD).float()
    loss_sum = cross_entropy(logits_MV, batch.labels_M, reduction="sum")
    correct = (logits_MV.argmax(-1) == batch.labels_M).sum()
    return Terms(loss_sum, correct.new_tensor(len(batch.labels_M)), correct)
