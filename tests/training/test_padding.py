import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.batches import Lists

rows = st.lists(st.lists(st.integers(0, 65_535), max_size=6), min_size=1, max_size=9)


@pytest.mark.parametrize("kind", [pa.uint16(), pa.uint32()])
@settings(deadline=None)  # the first call may compile
@given(chunks=st.lists(rows, min_size=1, max_size=4), data=st.data())
def test_rows_of_any_chunk_are_padded_with_zeros(
    kind: pa.DataType, chunks: list[list[list[int]]], data: st.DataObject
) -> None:
    column = pa.chunked_array([pa.array([[], *chunk], pa.list_(kind))[1:] for chunk in chunks])
    flat = column.to_pylist()
    picked = data.draw(st.lists(st.integers(0, len(flat) - 1), max_size=12))
    padded_BT = Lists(column).pad(np.array(picked, np.int64), 7)
    assert padded_BT.dtype == np.int64
    assert padded_BT.tolist() == [flat[at] + [0] * (7 - len(flat[at])) for at in picked]
