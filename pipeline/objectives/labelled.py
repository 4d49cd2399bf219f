"""What fine-tuning predicts, by kind of task: a head and a loss each, as sums over what is known.

Letters: B rows, T tokens, M predicted positions, C classes or choices, Q questions.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pipeline.objectives import Objective
from pipeline.objectives.classification import IGNORED

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.model.heads import Hidden
    from pipeline.objectives import Batch, Terms


def objective_of(kind: str, classes: int, choices: int) -> Objective:
    """Give what a task of some kind trains: with so many classes, or choices a question."""
    return KINDS[kind](classes, choices)


def _classify(classes: int, choices: int) -> Objective:
    from pipeline.model.heads import classifier_of
    from pipeline.objectives.classification import loss

    return Objective("tell classes of rows apart", None, partial(classifier_of, classes=classes), loss)


def _regress(classes: int, choices: int) -> Objective:
    from pipeline.model.heads import classifier_of

    head = partial(classifier_of, classes=1)
    return Objective("give rows a number", None, head, _squared_error, graded=False)


def _choose(classes: int, choices: int) -> Objective:
    from pipeline.model.heads import classifier_of

    loss = partial(_choice_loss, choices=choices)
    return Objective("choose one of several rows", None, partial(classifier_of, classes=1), loss)


def _span(classes: int, choices: int) -> Objective:
    from pipeline.model.heads import pointer_of

    return Objective("find where an answer starts and ends", None, pointer_of, _span_loss)


def _tag(classes: int, choices: int) -> Objective:
    from pipeline.model.heads import tagger_of

    head = partial(tagger_of, classes=classes)
    return Objective("tell classes of words apart", None, head, _tag_loss, per="predicted")


KINDS: dict[str, Callable[[int, int], Objective]] = {
    "classify": _classify,
    "regress": _regress,
    "choose": _choose,
    "span": _span,
    "tag": _tag,
}
"""The kinds of tasks."""


def _squared_error(head: "nn.Module", hidden: "Hidden", word_embedding_VD: "Tensor", batch: "Batch") -> "Terms":
    """Sum the squared errors of the rows whose number is known."""
    from pipeline.objectives import Terms

    known_B = ~batch.label_B.isnan()
    error_B = head(hidden.first_B1D)[:, 0].float()[known_B] - batch.label_B[known_B]
    return Terms(error_B.square().sum(), known_B.sum(), known_B.new_zeros((), dtype=known_B.sum().dtype))


def _choice_loss(
    head: "nn.Module", hidden: "Hidden", word_embedding_VD: "Tensor", batch: "Batch", choices: int
) -> "Terms":
    """Sum the cross-entropies over the choices of each question, which are rows one behind another.

    Source: Devlin et al. 2019, section 4.4.
    """
    from torch.nn.functional import cross_entropy

    from pipeline.objectives import Terms

    logits_QC, label_Q = head(hidden.first_B1D).float().view(-1, choices), batch.label_B[::choices]
    loss_sum = cross_entropy(logits_QC, label_Q, ignore_index=IGNORED, reduction="sum")
    return Terms(loss_sum, (label_Q != IGNORED).sum(), (logits_QC.argmax(-1) == label_Q).sum())


def _span_loss(head: "nn.Module", hidden: "Hidden", word_embedding_VD: "Tensor", batch: "Batch") -> "Terms":
    """Sum, over rows, the mean of the cross-entropies of start and end; all tokens of a row are candidates.

    Source: Devlin et al. 2019, section 4.2; google-research/bert run_squad.py.
    """
    from torch.nn.functional import cross_entropy

    from pipeline.objectives import Terms

    logits_M2 = head(hidden.predicted_MD).float()
    both = [by_row(logits_M2[:, at], batch) for at in range(2)]
    labels = [batch.label_B[:, at] for at in range(2)]
    sums = [
        cross_entropy(one, label, ignore_index=IGNORED, reduction="sum")
        for one, label in zip(both, labels, strict=True)
    ]
    right_B = (both[0].argmax(-1) == labels[0]) & (both[1].argmax(-1) == labels[1])
    return Terms((sums[0] + sums[1]) / 2, (labels[0] != IGNORED).sum(), right_B.sum())


def by_row(scores_M: "Tensor", batch: "Batch") -> "Tensor":
    """Lay the scores of tokens out as rows: scores_BT, with hardly any weight in a softmax where no token is."""
    import torch

    least = torch.finfo(scores_M.dtype).min
    if batch.packed is None:
        whole = scores_M.new_full((batch.ids_BT.numel(),), least)
        return whole.index_put((batch.predicted_M,), scores_M).view(batch.ids_BT.shape)
    starts_B = batch.packed.starts_B.long()
    row_M = torch.searchsorted(starts_B, batch.predicted_M, right=True) - 1
    whole_BT = scores_M.new_full((len(starts_B) - 1, batch.packed.longest), least)
    return whole_BT.index_put((row_M, batch.predicted_M - starts_B[row_M]), scores_M)


def _tag_loss(head: "nn.Module", hidden: "Hidden", word_embedding_VD: "Tensor", batch: "Batch") -> "Terms":
    """Sum the cross-entropies of the words, each predicted at its first piece.

    Source: Devlin et al. 2019, section 5.3.
    """
    from torch.nn.functional import cross_entropy

    from pipeline.objectives import Terms

    logits_MC = head(hidden.predicted_MD).float()
    loss_sum = cross_entropy(logits_MC, batch.labels_M, reduction="sum")
    right = (logits_MC.argmax(-1) == batch.labels_M).sum()
    return Terms(loss_sum, right.new_tensor(len(batch.labels_M)), right)
