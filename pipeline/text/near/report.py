"""Near-duplicates as people read them: clusters, the largest first, with titles."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.text.near.clusters import Cluster, clusters

LISTED = 50
"""How many clusters are told with titles, and how many titles of each; the file of removals has them all."""


def report(removed: pa.Table, indexes: Iterable[pa.Table]) -> dict[str, Any]:
    """Count the clusters of a table of REMOVED and describe the largest; `indexes` have the columns id, source and title."""
    found = sorted(clusters(removed), key=lambda cluster: (-len(cluster.removed), cluster.kept))
    shown = found[:LISTED]
    wanted = pa.array({name for cluster in shown for name in _named(cluster)}, pa.string())
    titles: dict[str, str] = {}
    for index in indexes:
        here = index.filter(pc.is_in(index["id"], value_set=wanted))
        for row in here.select(["id", "source", "title"]).to_pylist():
            titles.setdefault(row["id"], f"{row['source']}: {row['title']}")
    return {"count": len(found), "largest": [_described(cluster, titles) for cluster in shown]}


def _named(cluster: Cluster) -> tuple[str, ...]:
    return (cluster.kept, *cluster.removed[:LISTED])


def _described(cluster: Cluster, titles: dict[str, str]) -> dict[str, Any]:
    kept, *removed = (f"{titles[name]} ({name})" for name in _named(cluster))
    return {
        "kept": kept,
        "removed": removed,
        "documents_removed": len(cluster.removed),
        "similarity": round(cluster.similarity, 3),
    }
