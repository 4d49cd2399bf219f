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

from pipeline.core.arrow import read_batches, read_table
from pipeline.text.near.clusters import Standing, removals
from pipeline.text.near.loops import Ints, Signatures
from pipeline.text.near.pairs import band_keys, similar_pairs
from pipeline.text.near.signatures import signatures
from pipeline.text.readings import documents_of, index_of

NAME = "name"
"""The column of the key of the whole signature."""


def sign(reading: Path, out: Path, *, shingle_words: int, permutations: int, bands: int) -> int:
    """Write the signatures of a reading's documents, in its order; returns how many there are."""
    signed = [
        signatures(batch["sentences"], shingle_words=shingle_words, permutations=permutations)
        for batch in read_batches(documents_of(reading))
    ]
    signatures_DP = np.concatenate([np.empty((0, permutations), np.uint32), *signed])
    keys_DB = band_keys(signatures_DP, bands)
    index = read_table(index_of(reading)).combine_chunks()
    columns: dict[str, Any] = {
        "id": index["id"],
        "characters": index["characters"],
        "signature": _binary(signatures_DP),
        NAME: band_keys(signatures_DP, 1)[:, 0],
    }
    columns |= {_band(at): keys_DB[:, at] for at in range(bands)}
    table = pa.table(columns).combine_chunks()
    with pa.OSFile(str(out), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)  # one batch, not compressed: rows are read where they lie
    return len(signatures_DP)


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
        self._tables = [read_table(path) for path in paths]
        lengths = [table.num_rows for table in self._tables]
        self._begins = np.cumsum([0, *lengths])
        self._sources = np.repeat(np.array(sources, np.int32), lengths)
        ids: Any = pa.chunked_array([chunk for table in self._tables for chunk in table["id"].chunks], pa.string())
        _, first = np.unique(ids.combine_chunks().dictionary_encode().indices.to_numpy(), return_index=True)
        wanted = np.sort(first)
        left = pc.invert(pc.is_in(ids.take(wanted), value_set=pa.array(sorted(without), pa.string())))
        self._rows = wanted[left.to_numpy().astype(bool)]
        self._ids = ids.take(self._rows).combine_chunks()

    def column(self, name: str) -> NDArray[Any]:
        """Give one column for all documents."""
        parts = [table[name].to_numpy() for table in self._tables]
        whole: NDArray[Any] = (
            np.concatenate([np.empty(0, np.uint64), *parts]) if name != "characters" else np.concatenate(parts)
        )
        kept: NDArray[Any] = whole[self._rows]
        return kept

    def standing(self) -> Standing:
        """Give what decides which of similar documents is kept."""
        return Standing(self._ids, self._sources[self._rows], self.column("characters"))

    def signature_of(self, numbers: Ints) -> Signatures:
        """Fetch signatures from the files."""
        rows = self._rows[numbers]
        files = np.searchsorted(self._begins, rows, side="right") - 1
        permutations = self._tables[0].schema.field("signature").type.byte_width // 4
        found = np.empty((len(rows), permutations), np.uint32)
        for file in np.unique(files):
            here = files == file
            found[here] = self._of_file(int(file), permutations)[rows[here] - self._begins[file]]
        return found

    def _of_file(self, file: int, permutations: int) -> Signatures:
        chunk: Any
        (chunk,) = self._tables[file]["signature"].chunks
        signatures_DP: Signatures = np.frombuffer(chunk.buffers()[1], np.uint32).reshape(-1, permutations)
        return signatures_DP


def _binary(signatures_DP: Signatures) -> Any:
    width = signatures_DP.shape[1] * 4
    data: Any = np.ascontiguousarray(signatures_DP)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(signatures_DP), [None, pa.py_buffer(data)])


def _band(at: int) -> str:
    return f"band{at}"
