"""Arrow IPC files: written once in fixed-size batches so that equal rows give equal bytes, read by memory map."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.errors import DataError

ROWS_PER_BATCH = 1024
"""Fixed, because batch borders are part of the bytes."""


class BatchWriter:
    """Writes record batches to an Arrow IPC file, small ones joined: what is written depends only on what is added."""

    def __init__(self, path: Path, schema: pa.Schema, *, codec: Literal["zstd"] | None, target_bytes: int) -> None:
        self.rows = 0
        self.batches = 0
        self._schema = schema
        self._target_bytes = target_bytes
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, schema, options=pa.ipc.IpcWriteOptions(compression=codec))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
            self._writer.close()
        finally:
            self._sink.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch; it is written when enough have come together."""
        if batch.num_rows:
            self._waiting.append(batch)
            self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= self._target_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what waits as one batch."""
        if not self._waiting:
            return
        self._writer.write_batch(pa.concat_batches(self._waiting))  # type: ignore[attr-defined]
        self.rows += sum(batch.num_rows for batch in self._waiting)
        self.batches += 1
        self._waiting.clear()
        self._waiting_bytes = 0


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[dict[str, Any]], *, codec: Literal["zstd"] | None) -> int:
    """Write rows as an Arrow IPC file and return how many there were."""
    left = iter(rows)
    with BatchWriter(path, schema, codec=codec, target_bytes=1) as writer:
        while some := list(islice(left, ROWS_PER_BATCH)):
            writer.add(pa.RecordBatch.from_pylist(some, schema=schema))
    return writer.rows


def write_table(path: Path, table: pa.Table, *, codec: Literal["zstd"] | None) -> int:
    """Write a whole table as an Arrow IPC file and return its number of rows."""
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        for batch in table.combine_chunks().to_batches(max_chunksize=ROWS_PER_BATCH):
            writer.write_batch(batch)
    return table.num_rows


def read_table(path: Path) -> pa.Table:
    """Memory-map an Arrow IPC file; uncompressed columns are not copied.

    Raises: DataError if the file is not a whole Arrow IPC file.
    """
    with _opened(path) as reader:
        return reader.read_all()


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of an Arrow IPC file, one batch in memory at a time.

    Raises: DataError if the file is not a whole Arrow IPC file.
    """
    with _opened(path) as reader:
        for at in range(reader.num_record_batches):
            yield from reader.get_batch(at).to_pylist()


def read_batches(
    path: Path, numbers: Iterable[int] | None = None, *, columns: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of an Arrow IPC file, or those of some numbers, one in memory at a time.

    With `columns` the others are not even decompressed.

    Raises: DataError if the file is not a whole Arrow IPC file.
    """
    options = None if columns is None else pa.ipc.IpcReadOptions(included_fields=list(columns))
    with _opened(path, options) as reader:
        for at in range(reader.num_record_batches) if numbers is None else numbers:
            yield reader.get_batch(at)


def rows_of(path: Path) -> int | None:
    """Count the rows of an Arrow IPC or Parquet file from its footer; None for any other file."""
    if path.suffix == ".parquet":
        return int(pq.read_metadata(path).num_rows)
    if path.suffix != ".arrow":
        return None
    with _opened(
        path, pa.ipc.IpcReadOptions(included_fields=[0])
    ) as reader:  # the first column: not all is decompressed
        return sum(reader.get_batch(at).num_rows for at in range(reader.num_record_batches))


@contextmanager
def _opened(path: Path, options: pa.ipc.IpcReadOptions | None = None) -> Iterator[pa.RecordBatchFileReader]:
    try:
        with pa.memory_map(str(path), "r") as source:
            yield pa.ipc.open_file(source, options=options)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a whole Arrow file ({error}); make it again") from error
