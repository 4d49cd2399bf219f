"""Clusters: of documents that are linked, directly or by way of others, the ones that go and the ones that stay.

Links alone would chain: a first draft is like the second, the second like the third, and the last has nothing of the first.
So within linked documents the best of them stays and takes with it those that are like *it*; then the best of the
others does, until none is left. Every removed document is therefore as similar as the threshold to one that is kept.
The best is of the earliest source, then the longest, then of the lowest id: nothing depends on the order in which documents
come or on how they were divided.

Letters: D documents, P numbers of a signature, N pairs, M linked documents, U those of them with signatures of their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.text.near.loops import Hashes, Ints, Signatures, lead, unite
from pipeline.text.near.pairs import SignatureOf, band_keys, needed, portions, repeats, similar_pairs
from pipeline.text.near.signatures import similarities

COLUMNS: dict[str, pa.DataType] = {"removed": pa.string(), "kept": pa.string(), "similarity": pa.float32()}
REMOVED = pa.schema(COLUMNS)
"""One row a removed document: its id, the id of the one that is kept for it, and how similar they are by their signatures."""
STANDING: list[tuple[str, Literal["ascending", "descending"]]] = [
    ("linked", "ascending"),
    ("source", "ascending"),
    ("length", "descending"),
    ("id", "ascending"),
]


@dataclass(frozen=True)
class Standing:
    """What decides which of similar documents is kept: three columns of length D."""

    ids: "pa.Array[Any]"  # strings, all different
    sources: NDArray[Any]  # the place of each document's source among the sources
    lengths: NDArray[Any]  # in any unit

    def ranked(self, documents_M: Ints, linked_M: Ints) -> Ints:
        """Give the order that brings linked documents together, the best of them first."""
        columns = {
            "linked": linked_M,
            "source": self.sources[documents_M],
            "length": self.lengths[documents_M],
            "id": self.ids.take(documents_M),
        }
        return np.asarray(pc.sort_indices(pa.table(columns), sort_keys=STANDING)).astype(np.int64)


@dataclass(frozen=True)
class Cluster:
    """A document that is kept, with those that were removed for it."""

    kept: str
    removed: tuple[str, ...]
    similarity: float  # to the least similar of them


def near_duplicates(signatures_DP: Signatures, standing: Standing, *, bands: int, threshold: float) -> pa.Table:
    """Find what to remove among documents whose signatures fit in memory; see `removals`."""
    keys_DB, names_D = band_keys(signatures_DP, bands), band_keys(signatures_DP, 1)[:, 0]
    links = [
        similar_pairs(
            keys_DB[:, band], keys_DB[:, (band + 1) % bands], names_D, signatures_DP.__getitem__, threshold=threshold
        )
        for band in range(bands)
    ]
    return removals(links, names_D, standing, signatures_DP.__getitem__, threshold=threshold)


def removals(
    links: Iterable[Ints], names_D: Hashes, standing: Standing, signature_of: SignatureOf, *, threshold: float
) -> pa.Table:
    """Decide what to remove, given each band's links (`similar_pairs`): a table of REMOVED, sorted by kept and removed."""
    pairs_N2 = np.concatenate([repeats(names_D), *links])
    documents_M, linked_M = _components(pairs_N2)
    order = standing.ranked(documents_M, linked_M)
    documents_M, linked_M = documents_M[order], linked_M[order]
    _, firsts, own_M = np.unique(names_D[documents_M], return_index=True, return_inverse=True)
    unique = np.sort(firsts)  # of equal signatures the best document, in the order of standing
    kept_U, similarity_U = _kept(documents_M[unique], linked_M[unique], signature_of, threshold)
    place = np.argsort(np.argsort(firsts))[own_M]
    kept_M, similarity_M = documents_M[unique][kept_U[place]], similarity_U[place]
    gone = kept_M != documents_M
    columns: list[Any] = [standing.ids.take(numbers[gone]) for numbers in (documents_M, kept_M)]
    columns.append(pa.array(similarity_M[gone], pa.float32()))
    return pa.Table.from_arrays(columns, schema=REMOVED).sort_by([("kept", "ascending"), ("removed", "ascending")])


def clusters(removed: pa.Table) -> list[Cluster]:
    """Group what was removed by what was kept for it; `removed` is what `removals` gives."""
    grouped = removed.group_by("kept", use_threads=False).aggregate([("removed", "list"), ("similarity", "min")])
    return [
        Cluster(row["kept"], tuple(row["removed_list"]), row["similarity_min"])
        for row in grouped.sort_by("kept").to_pylist()
    ]


def _components(pairs_N2: Ints) -> tuple[Ints, Ints]:
    """Give the documents that occur in pairs and, for each, the least number that it is linked with."""
    documents_M, places = np.unique(pairs_N2, return_inverse=True)
    roots_M = np.arange(len(documents_M))
    unite(places.reshape(-1, 2).astype(np.int64), roots_M)
    return documents_M, documents_M[roots_M]


def _kept(
    documents_U: Ints, linked_U: Ints, signature_of: SignatureOf, threshold: float
) -> tuple[Ints, NDArray[np.float64]]:
    """Give the place of the one that is kept for each document, and how similar they are."""
    starts = np.flatnonzero(np.diff(linked_U, prepend=-1))
    borders = np.append(starts, len(documents_U)).astype(np.int64)
    kept_U, similarity_U = np.arange(len(documents_U)), np.ones(len(documents_U))
    for begin, end in portions(borders):
        inside = slice(borders[begin], borders[end])
        signatures_DP = np.ascontiguousarray(signature_of(documents_U[inside]))
        kept = kept_U[inside] - borders[begin]
        lead(signatures_DP, borders[begin : end + 1] - borders[begin], needed(signatures_DP, threshold), kept)
        kept_U[inside] = kept + borders[begin]
        similarity_U[inside] = similarities(signatures_DP, signatures_DP[kept])
    return kept_U, similarity_U
