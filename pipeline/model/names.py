"""Tensor names of one format in those of another, by tables of prefixes; # stands for a layer's number."""

import re
from collections.abc import Sequence

from torch import Tensor

from pipeline.core.errors import DataError

State = dict[str, Tensor]
"""Parameter name -> tensor."""

TUNED = {
    "classify": "ForSequenceClassification",
    "regress": "ForSequenceClassification",
    "choose": "ForMultipleChoice",
    "span": "ForQuestionAnswering",
    "tag": "ForTokenClassification",
}
"""The head of a fine-tuned model, named after what it does -> how the name of its class in transformers ends."""

Table = Sequence[tuple[str, str]]
"""Prefixes in one format and the other."""


def reversed_table(table: Table) -> Table:
    """Turn a table round."""
    return [(second, first) for first, second in table]


def translate(name: str, table: Table) -> str:
    """Write a name in the other format.

    Raises: DataError if no prefix of the table fits.
    """
    for source, target in table:
        pattern = re.escape(source).replace(r"\#", r"(\d+)")
        if match := re.match(pattern, name):
            return (target.replace("#", match[1]) if "#" in source else target) + name[match.end() :]
    raise DataError(f"{name}: not a tensor of a BERT encoder or its heads")


def heads_in(state: State) -> list[str]:
    """List the heads whose tensors a state of ours holds."""
    return sorted({name.split(".")[1] for name in state if name.startswith("heads.")})
