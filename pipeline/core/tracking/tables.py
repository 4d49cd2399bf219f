"""Tables as MLflow's page shows them: rows to sort and to read, below Artifacts and under Evaluation.

Written here rather than by `MlflowClient.log_table`, which appends to what an earlier attempt has logged.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.store import Artifact

LISTED = "mlflow.loggedArtifacts"
"""The tag by which the page knows tables."""
SHOWN = ("mistakes.parquet", "trials.parquet")
"""Files of an artifact that are short enough to be read."""
ROWS_AT_MOST = 200


class Rows(NamedTuple):
    """A table."""

    columns: Sequence[str]
    data: Sequence[Sequence[Any]]


def log_tables(client: Any, run_id: str, tables: Mapping[str, Rows]) -> None:
    """Put tables on a run, in place of those that it had.

    Raises: what MLflow raises where it cannot be reached.
    """
    for name, rows in tables.items():
        data = [[_plain(value) for value in row] for row in rows.data]
        client.log_dict(run_id, {"columns": list(rows.columns), "data": data}, name)
    if tables:
        client.set_tag(run_id, LISTED, json.dumps([{"path": name, "type": "table"} for name in tables]))


def tables_of(artifact: Artifact) -> dict[str, Rows]:
    """Read the tables of an artifact that people look at, by the name under which they are shown."""
    there = [artifact.path / name for name in SHOWN if (artifact.path / name).is_file()]
    return {f"{path.stem}.json": _read(path) for path in there}


def _read(path: Path) -> Rows:
    import pyarrow.parquet as pq

    table = pq.read_table(path).slice(0, ROWS_AT_MOST)
    return Rows(table.column_names, [list(row.values()) for row in table.to_pylist()])


def _plain(value: Any) -> Any:
    """Give a value that every reader of JSON takes."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
