"""Pretraining objectives: how each makes its examples, what head it adds, what loss it takes.

`OBJECTIVES` is the one list of them; config reads it, so nothing heavy is imported before it is called.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.model.attention import Packed
    from pipeline.model.heads import Hidden
    from pipeline.model.shape import Shape
    from pipeline.objectives.segments import Examples, Keys
    from pipeline.text.encoded import Encoded


@dataclass(frozen=True)
class Terms:
    """What an objective says of one micro-batch; the loop divides by the count of the whole global batch."""

    loss_sum: "Tensor"  # float32
    count: "Tensor"
    correct: "Tensor"


class Batch(Protocol):
    """What a loss reads of a micro-batch; letters: B rows, M predicted positions."""

    @property
    def predicted_M(self) -> "Tensor":
        """Flat positions, row * T + column."""
        ...

    @property
    def labels_M(self) -> "Tensor":
        """The ids that stood there."""
        ...

    @property
    def label_B(self) -> "Tensor":
        """What is predicted of a row, e.g. 0 in order, 1 not; -100 where there is nothing to predict."""
        ...

    @property
    def ids_BT(self) -> "Tensor":
        """The tokens of the rows; one behind another where they are packed."""
        ...

    @property
    def packed(self) -> "Packed | None":
        """Where rows begin that are packed."""
        ...


class PairMaker(Protocol):
    """Turns encoded documents into examples."""

    def __call__(
        self,
        encoded: "Encoded",
        key_D: "Keys",
        *,
        sequence_length: int,
        short_probability: float,
        cls_id: int,
        sep_id: int,
        seed: int,
    ) -> "Examples":
        """Make examples of at most `sequence_length` tokens; the draws of a document follow from the seed and its key."""
        ...


class Head(Protocol):
    """Makes the module an objective puts on the encoder."""

    def __call__(self, shape: "Shape") -> "nn.Module":
        """Make it with fresh weights."""
        ...


class Loss(Protocol):
    """Takes the loss of one micro-batch."""

    def __call__(self, head: "nn.Module", hidden: "Hidden", word_embedding_VD: "Tensor", batch: Batch) -> Terms:
        """Sum the cross-entropies of what is predicted."""
        ...


@dataclass(frozen=True)
class Objective:
    """What is predicted, of pretraining or fine-tuning; `pairs` is None for one that is content with any examples."""

    summary: str
    pairs: PairMaker | None
    head: Head
    loss: Loss
    per: Literal["predicted", "labels"] = "labels"
    """What its loss is a mean over: positions of a batch, or rows (or groups of rows) with a label."""
    graded: bool = True
    """Whether a prediction is right or wrong, so that there is an accuracy."""


def _call(module: str, name: str, *args: Any, **settings: Any) -> Any:
    return getattr(import_module(module), name)(*args, **settings)


def _late(module: str, name: str) -> Callable[..., Any]:
    """Name a function whose module is imported at the first call."""
    return partial(_call, module, name)


_full_sentences = _late("pipeline.objectives.packing", "full_sentences")

OBJECTIVES: dict[str, Objective] = {
    "mlm": Objective(
        summary="masked language model: fill in hidden tokens",
        pairs=None,
        head=_late("pipeline.objectives.mlm", "head"),
        loss=_late("pipeline.objectives.mlm", "loss"),
        per="predicted",
    ),
    "nsp": Objective(
        summary="next sentence prediction: does the second segment follow the first, or come from another document",
        pairs=_late("pipeline.objectives.nsp", "pairs"),
        head=_late("pipeline.objectives.classification", "head"),
        loss=_late("pipeline.objectives.classification", "loss"),
    ),
    "sop": Objective(
        summary="sentence order prediction: are two neighbouring segments in the order they were written in",
        pairs=_late("pipeline.objectives.sop", "pairs"),
        head=_late("pipeline.objectives.classification", "head"),
        loss=_late("pipeline.objectives.classification", "loss"),
    ),
}
"""The choices of `recipe.examples.objectives`."""


def pair_maker(objectives: Sequence[str]) -> PairMaker:
    """Find the pair maker that a set of objectives needs: that of the one with pairs, or full sentences.

    Raises: ConfigError if two of them want pairs of their own.
    """
    makers = {name: maker for name in objectives if (maker := OBJECTIVES[name].pairs) is not None}
    if len(makers) > 1:
        raise ConfigError(
            f"recipe.examples.objectives: {' and '.join(makers)} both make pairs of segments; keep one of them"
        )
    return next(iter(makers.values()), _full_sentences)
