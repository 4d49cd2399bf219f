"""Rows of mapped files, each at an address of its own, copied into one padded array: a loop over rows that is no Python.

Letters: B rows, T tokens, C chunks of a column.
"""

from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import carray
from numpy.typing import NDArray

from pipeline.core.kernel import kernel

Ints = NDArray[np.int64]
OFFSET = np.int32
"""The type of the offsets of an Arrow list column."""


def address_of(array: NDArray[Any]) -> int:
    """Return where an array's memory begins; whoever keeps the address must keep the array."""
    return int(array.__array_interface__["data"][0])


def _as_pointer(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


_pointer: Any = intrinsic(_as_pointer)
"""Inside a kernel: an address as a pointer, which numba has no word for."""


@kernel
def pad(
    value_address_C: Ints, offset_address_C: Ints, chunk_B: Ints, row_B: Ints, kind: NDArray[Any], padded_BT: Ints
) -> None:
    """Copy row row_B[b] of chunk chunk_B[b] to the front of padded_BT[b]; `kind` is any array of the values' type."""
    for row in range(len(row_B)):
        chunk, at = chunk_B[row], row_B[row]
        offsets = carray(_pointer(offset_address_C[chunk]), (at + 2,), OFFSET)
        begin, end = offsets[at], offsets[at + 1]
        values = carray(_pointer(value_address_C[chunk]), (end,), kind.dtype)
        for column in range(end - begin):
            padded_BT[row, column] = values[begin + column]
