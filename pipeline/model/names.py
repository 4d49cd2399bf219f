"""Tensor names of one format in those of another, by tables of prefixes; # stands for a layer's number."""

import re
from collections.abc import Sequence

from torch import Tensor

from pipeline.core.errors import DataError

State = dict[str, Tensor]
"""Parameter name -> tensor."""

CLASSIFICATION = "classification"
"""The head of a fine-tuned classifier."""

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
