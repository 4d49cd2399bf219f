"""`pretrace embed`: a text a line in, a row a text out, with vectors of the sentence, its layers and its tokens."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.export import model_files
from pipeline.core.errors import ConfigError
from pipeline.core.store import Artifact, Store
from pipeline.tasks.lines import numbered

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.model.embed import Features

ROWS_A_GROUP = 256


def embed_file(store: Store, artifact: Artifact, texts: Path, out: Path, token_layers: int = 0) -> int:
    """Write a parquet file with a row for each line that is not empty; returns how many there are.

    Columns: line, text, vector, layers (the embeddings first); with `token_layers`, tokens and the activations of so
    many last layers of each.

    Raises: ConfigError if there is no such file, the artifact is no model or has fewer layers, or `out` cannot be written;
    DataError if the file is not text.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.model.embed import embed
    from pipeline.model.shape import read_shape

    if not texts.is_file():
        raise ConfigError(f"{texts}: no such file; name a text file with a text a line")
    weights, vocabulary = model_files(store, artifact)
    if token_layers > (has := read_shape(weights).layers):
        raise ConfigError(f"--token-layers {token_layers}: the model has {has} layers; name as many or fewer")
    lines = [(number, text) for number, line in numbered(texts) if (text := line.strip())]
    features = iter(embed(weights, vocabulary, (text for _, text in lines)))
    try:
        with pq.ParquetWriter(out, _schema(token_layers)) as writer:
            for begin in range(0, len(lines), ROWS_A_GROUP):
                numbers = [number for number, _ in lines[begin : begin + ROWS_A_GROUP]]
                rows = _rows(numbers, islice(features, len(numbers)), token_layers)
                writer.write_table(pa.Table.from_pylist(rows, schema=_schema(token_layers)))
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror or error}); name another file") from error
    return len(lines)


def _rows(numbers: list[int], features: "Iterable[Features]", token_layers: int) -> list[dict[str, Any]]:
    rows = []
    for number, found in zip(numbers, features, strict=True):
        row = {"line": number, "text": found.text, "vector": found.vector_D, "layers": list(found.layers_LD)}
        if token_layers:
            row |= {"tokens": found.tokens, "activations": list(found.last_TD(token_layers))}
        rows.append(row)
    return rows


def _schema(token_layers: int) -> "pa.Schema":
    import pyarrow as pa

    vector = pa.list_(pa.float32())
    columns: dict[str, pa.DataType] = {
        "line": pa.int64(),
        "text": pa.string(),
        "vector": vector,
        "layers": pa.list_(vector),
    }
    if token_layers:
        columns |= {"tokens": pa.list_(pa.string()), "activations": pa.list_(vector)}
    return pa.schema(list(columns.items()))
