"""The head and loss of every objective that classifies a pair of segments."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.model.heads import Hidden
    from pipeline.model.shape import Shape
    from pipeline.objectives import Batch, Terms

IGNORED = -100
"""The label of rows with nothing to predict, as in `torch.nn.functional.cross_entropy`."""


def head(shape: "Shape") -> "nn.Module":
    """Make the classifier of pairs: pooler and two classes.

    Raises: ConfigError if the architecture has no segments to tell a pair by.
    """
    from pipeline.core.errors import ConfigError
    from pipeline.model.heads import PairHead

    if shape.architecture != "bert":
        raise ConfigError(
            f"recipe.model.architecture={shape.architecture} has no segments, which objectives on pairs need; "
            "set recipe.examples.objectives=[mlm] or recipe.model.architecture=bert"
        )

    return PairHead(shape, classes=2)


def loss(head: "nn.Module", hidden: "Hidden", word_embedding_VD: "Tensor", batch: "Batch") -> "Terms":
    """Sum the cross-entropies of the rows that have a label; letters: B rows, C classes."""
    from torch.nn.functional import cross_entropy

    from pipeline.objectives import Terms

    logits_BC = head(hidden.first_B1D).float()
    loss_sum = cross_entropy(logits_BC, batch.label_B, ignore_index=IGNORED, reduction="sum")
    correct = (logits_BC.argmax(-1) == batch.label_B).sum()
    return Terms(loss_sum, (batch.label_B != IGNORED).sum(), correct)
