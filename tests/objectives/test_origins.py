from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.core.arrow import BatchWriter
from pipeline.objectives.origins import made_of
from pipeline.tables import examples_schema

SCHEMA = examples_schema(100, static_masks=False)
Example = tuple[int, list[int]]


def write(path: Path, examples: list[Example], rows_per_batch: int) -> Path:
    table = [{"ids": [1, 2], "second_at": 2, "label": 2, "shard": shard, "rows": rows} for shard, rows in examples]
    with BatchWriter(path, SCHEMA, codec=None, target_bytes=1) as writer:
        for begin in range(0, len(table), rows_per_batch):
            writer.add(pa.RecordBatch.from_pylist(table[begin : begin + rows_per_batch], schema=SCHEMA))
    return path


examples = some.lists(
    some.tuples(some.integers(0, 3), some.lists(some.integers(0, 5), max_size=3, unique=True)), max_size=20
)


@settings(deadline=None)
@given(files=some.lists(examples, min_size=1, max_size=3), rows_per_batch=some.integers(1, 7))
def test_the_examples_of_a_document_are_the_rows_that_name_it(
    files: list[list[Example]], rows_per_batch: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("examples")
    paths = [write(folder / f"{at}.arrow", file, rows_per_batch) for at, file in enumerate(files)]
    documents = [(shard, row) for shard in range(4) for row in range(6)]
    every = [example for file in files for example in file]
    wanted = [[at for at, (its, rows) in enumerate(every) if its == shard and row in rows] for shard, row in documents]
    assert [found.tolist() for found in made_of(paths, documents)] == wanted


def test_large_shards_and_rows_are_told_apart(tmp_path: Path) -> None:
    most = np.iinfo(np.int32).max
    path = write(tmp_path / "a.arrow", [(65535, [most]), (0, [most]), (65535, [0])], 2)
    assert [found.tolist() for found in made_of([path], [(65535, most), (0, most), (65535, 0), (1, 0)])] == [
        [0],
        [1],
        [2],
        [],
    ]
