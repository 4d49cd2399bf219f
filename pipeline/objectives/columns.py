"""Arrow columns as flat NumPy arrays and back, without copying: a list column is its values and where each list begins."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core.kernel import kernel

Ints = NDArray[np.int64]


def borders(length: NDArray[Any]) -> Ints:
    """Turn lengths into offsets, one more than there are lengths."""
    at = np.zeros(len(length) + 1, np.int64)
    np.cumsum(length, out=at[1:])
    return at


def plain_column(values: NDArray[Any], kind: Any) -> Any:
    """Make a column of numbers; `pa.array` would do it too, and import pandas."""
    narrow = np.ascontiguousarray(values.astype(str(kind), copy=False))
    return pa.Array.from_buffers(kind, len(narrow), [None, _buffer(narrow)])


def list_column(values: NDArray[Any], at: Ints, kind: Any) -> Any:
    """Make a column of lists: list r is values[at[r] : at[r + 1]]."""
    offsets = _buffer(at.astype(np.int32))
    return pa.Array.from_buffers(kind, len(at) - 1, [None, offsets], children=[plain_column(values, kind.value_type)])


def _buffer(array: Any) -> pa.Buffer:
    return pa.py_buffer(array)


def lists_of(column: Any) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return the values and the offsets of an array of lists."""
    return column.values.to_numpy(zero_copy_only=True), column.offsets.to_numpy(zero_copy_only=True)


@kernel
def copy_lists(
    from_N: NDArray[Any], from_at: NDArray[np.int32], row_R: Ints, to_N: NDArray[Any], to_at: Ints, place_R: Ints
) -> None:
    """Copy the lists of some rows to places in another column."""
    for at in range(len(row_R)):
        to = to_at[place_R[at]]
        for value in range(from_at[row_R[at]], from_at[row_R[at] + 1]):
            to_N[to] = from_N[value]
            to += 1


@kernel
def count_values(values: NDArray[Any], counts_V: Ints) -> None:
    """Add how often each value stands there."""
    for value in values:
        counts_V[value] += 1
