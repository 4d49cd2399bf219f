"""Arrow columns made and read without pandas, which pyarrow's own conversions import at the cost of a third of a second."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def strings(texts: Sequence[str]) -> pa.LargeStringArray:
    """Make a column of texts."""
    encoded = [text.encode() for text in texts]
    return strings_between(borders(map(len, encoded)), np.frombuffer(b"".join(encoded), dtype=np.uint8))


def strings_between(borders_S: Numbers, text_B: NDArray[np.uint8]) -> pa.LargeStringArray:
    """Make a column of texts from their bytes and the borders between them; neither is copied."""
    arrays: tuple[Any, Any] = (borders_S, text_B)
    buffers: Any = [None, *map(pa.py_buffer, arrays)]
    return cast(pa.LargeStringArray, pa.Array.from_buffers(pa.large_string(), len(borders_S) - 1, buffers))


def integers(numbers: Numbers) -> pa.Int64Array:
    """Make a column of numbers; they are not copied."""
    array: Any = numbers
    return cast(pa.Int64Array, pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(array)]))


def numbers_of(column: "pa.ChunkedArray[Any]") -> Numbers:
    """Read a column of 64-bit numbers without missing ones."""
    chunks = [
        np.frombuffer(cast(Any, chunk.buffers()[1]), dtype=np.int64, count=len(chunk), offset=8 * chunk.offset)
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate([np.zeros(0, dtype=np.int64), *chunks])


def borders(lengths: Iterable[int]) -> Numbers:
    """Give the borders between things of these lengths: one more than there are."""
    return np.concatenate([[0], np.cumsum(np.fromiter(lengths, dtype=np.int64))])
