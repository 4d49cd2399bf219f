"""Near-duplicates across readings: signatures lie in files, and only the columns at hand are in memory.

Each reading is signed once: one row a document, with its signature and the keys of its bands. Comparing then needs 16 bytes a
document and band, and the signatures of those documents alone that share a key.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core.arrow import BatchWriter, read_batches, read_table
from pipeline.text.near.clusters import Standing, removals
from pipeline.text.near.loops import Ints, Signatures
from pipeline.text.near.pairs import band_keys, similar_pairs
from pipeline.text.near.signatures import signatures
from pipeline.text.readings import documents_of, index_of

CHARACTERS = "characters"
SIGNED_BYTES = 16 << 20
"""What waits in memory before it is written: signatures of some 20,000 documents."""
NAME = "name"
"""The column of the key of the whole signature."""


def sign(reading: Path, out: Path, *, shingle_words: int, permutations: int, bands: int) -> int:
    """Write the signatures of a reading's documents, in its order; returns how many there are."""
    index = read_table(index_of(reading))
    with BatchWriter(out, _schema(permutations, bands), codec=None, target_bytes=SIGNED_BYTES) as writer:
        at = 0
        for batch in read_batches(documents_of(reading)):
            signed_DP = signatures(batch["sentences"], shingle_words=shingle_words, permutations=permutations)
            writer.add(_beside(index.slice(at, len(signed_DP)), signed_DP, bands))
            at += len(signed_DP)
    return at


def compare(
    signed: Sequence[Path], sources: Sequence[int], without: Iterable[str], *, bands: int, threshold: float
) -> pa.Table:
    """Find what to remove: a table of `pipeline.text.near.clusters.REMOVED`.

    `sources` says of each file which source it is of, the first being kept before the others; documents in `without`
    take no part.
    """
    every = _Signed(signed, sources, frozenset(without))
    names_D = every.column(NAME)
    links = []
    keys_D = every.column(_band(0))
    for band in range(bands):
        next_keys_D = every.column(_band((band + 1) % bands))
        links.append(similar_pairs(keys_D, next_keys_D, names_D, every.signature_of, threshold=threshold))
        keys_D = next_keys_D
    return removals(links, names_D, every.standing(), every.signature_of, threshold=threshold)


class _Signed:
    """All signed documents, each text once, numbered in the order of their files."""

    def __init__(self, paths: Sequence[Path], sources: Sequence[int], without: frozenset[str]) -> None:
        tables = [read_table(path) for path in paths]
        self._permutations = tables[0].schema.field("signature").type.byte_width // 4
        self._batches = [batch for table in tables for batch in table.to_batches()]  # not copied: files are mapped
        self._begins = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        self._sources = np.repeat(np.array(sources, np.int32), [table.num_rows for table in tables])
        ids: Any = pa.chunked_array([batch["id"] for batch in self._batches], pa.string())
        _, first = np.unique(ids.combine_chunks().dictionary_encode().indices.to_numpy(), return_index=True)
        wanted = np.sort(first)
        left = pc.invert(pc.is_in(ids.take(wanted), value_set=pa.array(sorted(without), pa.string())))
        self._rows = wanted[left.to_numpy().astype(bool)]
        self._ids = ids.take(self._rows).combine_chunks()

    def column(self, name: str) -> NDArray[Any]:
        """Give one column for all documents."""
        kind = np.int64 if name == CHARACTERS else np.uint64
        whole: NDArray[Any] = np.concatenate([np.empty(0, kind), *(batch[name].to_numpy() for batch in self._batches)])
        kept: NDArray[Any] = whole[self._rows]
        return kept

    def standing(self) -> Standing:
        """Give what decides which of similar documents is kept."""
        return Standing(self._ids, self._sources[self._rows], self.column(CHARACTERS))

    def signature_of(self, numbers: Ints) -> Signatures:
        """Fetch signatures from the files."""
        rows = self._rows[numbers]
        batches = np.searchsorted(self._begins, rows, side="right") - 1
        found = np.empty((len(rows), self._permutations), np.uint32)
        for batch in np.unique(batches):
            here = batches == batch
            found[here] = self._of_batch(int(batch))[rows[here] - self._begins[batch]]
        return found

    def _of_batch(self, batch: int) -> Signatures:
        buffer: Any = self._batches[batch]["signature"].buffers()[1]
        signatures_DP: Signatures = np.frombuffer(buffer, np.uint32).reshape(-1, self._permutations)
        return signatures_DP


def _schema(permutations: int, bands: int) -> pa.Schema:
    columns: dict[str, pa.DataType] = {
        "id": pa.string(),
        CHARACTERS: pa.int64(),
        "signature": pa.binary(permutations * 4),
        **dict.fromkeys((NAME, *map(_band, range(bands))), pa.uint64()),
    }
    return pa.schema(columns)


def _beside(index: pa.Table, signatures_DP: Signatures, bands: int) -> pa.RecordBatch:
    """Lay the signatures of some documents beside what the index says of them."""
    keys_DB = band_keys(signatures_DP, bands)
    columns: list[Any] = [
        index["id"].combine_chunks(),
        index[CHARACTERS].combine_chunks().cast(pa.int64()),
        _binary(signatures_DP),
        pa.array(band_keys(signatures_DP, 1)[:, 0]),
        *(pa.array(keys_DB[:, at]) for at in range(bands)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_schema(signatures_DP.shape[1], bands))


def _binary(signatures_DP: Signatures) -> Any:
    width = signatures_DP.shape[1] * 4
    data: Any = np.ascontiguousarray(signatures_DP)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(signatures_DP), [None, pa.py_buffer(data)])


def _band(at: int) -> str:
    return f"band{at}"
