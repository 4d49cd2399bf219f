from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.arrow import ROWS_PER_BATCH, read_rows, read_table, rows_of, write_rows, write_table
from pipeline.core.errors import DataError

SCHEMA = pa.schema(
    [pa.field("id", pa.int32(), nullable=False), pa.field("texts", pa.list_(pa.string()), nullable=False)]
)
rows = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(-(2**31), 2**31 - 1), "texts": st.lists(st.text(st.characters(codec="utf-8")))}
    )
)


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"id": number, "texts": [str(number)] * (number % 3)} for number in range(count)]


@settings(deadline=None)
@given(rows)
def test_rows_read_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.arrow"
    assert write_rows(path, SCHEMA, rows, codec="zstd") == len(rows)
    assert list(read_rows(path)) == rows
    assert read_table(path).to_pylist() == rows
    assert rows_of(path) == len(rows)


@pytest.mark.parametrize("count", [0, 1, ROWS_PER_BATCH, 2 * ROWS_PER_BATCH + 1])
@pytest.mark.parametrize("codec", ["zstd", None])
def test_equal_tables_give_equal_bytes_however_they_were_put_together(tmp_path: Path, count: int, codec: Any) -> None:
    table = pa.Table.from_pylist(numbered(count), SCHEMA)
    patched = pa.concat_tables([SCHEMA.empty_table(), *(table.slice(at, 700) for at in range(0, count, 700))])
    assert write_table(tmp_path / "whole.arrow", table, codec=codec) == count
    write_table(tmp_path / "patched.arrow", patched, codec=codec)
    assert (tmp_path / "whole.arrow").read_bytes() == (tmp_path / "patched.arrow").read_bytes()
    write_rows(tmp_path / "rows.arrow", SCHEMA, iter(numbered(count)), codec=codec)
    assert read_table(tmp_path / "whole.arrow") == read_table(tmp_path / "rows.arrow") == table


def test_batches_have_one_size_so_that_a_reader_holds_few_rows(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.arrow", SCHEMA, numbered(2 * ROWS_PER_BATCH + 1), codec="zstd")
    with pa.memory_map(str(tmp_path / "a.arrow")) as source:
        reader = pa.ipc.open_file(source)
        sizes = [reader.get_batch(at).num_rows for at in range(reader.num_record_batches)]
    assert sizes == [ROWS_PER_BATCH, ROWS_PER_BATCH, 1]


def test_an_uncompressed_column_is_mapped_and_not_copied(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.arrow", SCHEMA, numbered(10_000), codec=None)
    before = pa.total_allocated_bytes()
    table = read_table(tmp_path / "a.arrow")
    assert table.num_rows == 10_000
    assert pa.total_allocated_bytes() - before < table.nbytes / 10


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_file_that_is_not_whole_is_named(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.arrow"
    write_rows(path, SCHEMA, numbered(100), codec="zstd")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DataError, match=r"a\.arrow: not a whole Arrow file \(.*\); make it again"):
        read_table(path)
    with pytest.raises(DataError, match=r"a\.arrow: not a whole Arrow file \(.*\); make it again"):
        list(read_rows(path))


def test_a_writer_that_failed_leaves_no_rows_of_a_half_batch(tmp_path: Path) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield from numbered(ROWS_PER_BATCH + 1)
        raise KeyError("boom")

    with pytest.raises(KeyError, match="boom"):
        write_rows(tmp_path / "a.arrow", SCHEMA, failing(), codec="zstd")
    assert rows_of(tmp_path / "a.arrow") == ROWS_PER_BATCH


def test_rows_are_counted_from_the_footer_and_only_of_tables(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2, 3]}), tmp_path / "a.parquet")
    (tmp_path / "a.txt").write_text("x\n")
    assert rows_of(tmp_path / "a.parquet") == 3
    assert rows_of(tmp_path / "a.txt") is None
