"""Attention over rows, padded or laid one behind another. Letters: B rows, T tokens, N tokens of all rows."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """Rows laid one behind another without padding: tensors of a batch then have the shape [1, N]."""

    starts_B: Tensor  # int32, rows + 1 numbers: where each row begins, and where the last one ends
    longest: int  # tokens of the longest row
