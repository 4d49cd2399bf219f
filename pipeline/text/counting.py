"""Words counted: chunks between lone spaces first, then the words of each distinct chunk once.

WORDS is a table of `word`, `count` and `held_out`: how often it stands in the documents to learn from and in those that are
left out to measure by. Rows are in the order of words; counts have 64 bits.

Letters: D documents, S sentences, N chunks as they occur, C distinct chunks.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core.kernel import kernel
from pipeline.text.chunks import ALONE, PLAIN, Chunks, Sentences
from pipeline.text.columns import integers, numbers_of, strings
from pipeline.text.vocab.algorithm import Split

NAMES = ("word", "count", "held_out")
TYPES = (pa.large_string(), pa.int64(), pa.int64())
WORDS = pa.schema([pa.field(name, kind, nullable=False) for name, kind in zip(NAMES, TYPES, strict=True)])
CHUNKS_PER_CALL = 8192
SENTENCES_PER_CALL = 8192

Counts = NDArray[np.int64]


class Counter:
    """Counts the chunks of sentences as they come, and gives the words of all of them in the end."""

    def __init__(self) -> None:
        self._chunks = Chunks()
        self._counts_C2 = np.zeros((1, 2), dtype=np.int64)  # to learn from, held out; longer than there are chunks

    def add(self, sentences: Sentences, held_out_S: NDArray[np.bool_]) -> None:
        """Count the chunks of sentences, those of held-out documents apart."""
        numbers_N, per_S = self._chunks.number(sentences)
        if len(self._counts_C2) < self._chunks.count:
            more = np.zeros((2 * self._chunks.count, 2), dtype=np.int64)
            more[: len(self._counts_C2)] = self._counts_C2
            self._counts_C2 = more
        _tally(self._counts_C2, numbers_N, per_S, held_out_S)

    def words(self, split: Split) -> pa.Table:
        """Give WORDS."""
        counts: dict[str, int] = {}
        held_out: dict[str, int] = {}
        for kind, text, count, held in self._texts():
            for word in split.plain_text(text) if kind == PLAIN else split(text):
                counts[word] = counts.get(word, 0) + count
                if held:
                    held_out[word] = held_out.get(word, 0) + held
        return _table(counts, held_out)

    def _texts(self) -> Iterator[tuple[int, str, int, int]]:
        """Yield texts with the counts that all their words have.

        Chunks that occur equally often are one text, a space between them: so many small texts would take the library
        three times as long.
        """
        kinds_C, counts_C2 = self._chunks.kinds(), self._counts_C2[: self._chunks.count]
        order_C = np.lexsort((*counts_C2.T, kinds_C))
        chunks: list[Any] = self._chunks.since(0).to_pylist()
        texts = [chunks[at] for at in order_C.tolist()]
        about_C3 = np.column_stack([kinds_C, counts_C2])[order_C]
        other_C = (about_C3[1:] != about_C3[:-1]).any(axis=1) | (about_C3[1:, 0] == ALONE)
        begin = 0
        for end in [*(np.flatnonzero(other_C) + 1).tolist(), len(texts)]:
            for at in range(begin, end, CHUNKS_PER_CALL):
                kind, count, held = about_C3[at].tolist()
                yield kind, " ".join(texts[at : min(end, at + CHUNKS_PER_CALL)]), count, held
            begin = end


def count_words(sentences: Iterable[str], split: Split) -> pa.Table:
    """Count the words of sentences, none of them held out; gives WORDS."""
    counter = Counter()
    batch: list[str] = list(sentences)
    for at in range(0, len(batch), SENTENCES_PER_CALL):
        part = batch[at : at + SENTENCES_PER_CALL]
        counter.add(part, np.zeros(len(part), dtype=np.bool_))
    return counter.words(split)


def count_documents(batches: Iterable[tuple["pa.ListArray[Any]", NDArray[np.bool_]]], split: Split) -> pa.Table:
    """Count the words of documents, given as lists of sentences with which of them are held out; gives WORDS."""
    counter = Counter()
    for documents, held_out_D in batches:
        lengths_D = np.asarray(pc.list_value_length(documents), dtype=np.int64)
        sentences: Any = pc.list_flatten(documents)
        held_out_S = np.repeat(held_out_D, lengths_D)
        for at in range(0, len(sentences), SENTENCES_PER_CALL):
            part = slice(at, at + SENTENCES_PER_CALL)
            counter.add(sentences[part], held_out_S[part])
    return counter.words(split)


def add_up(tables: Sequence[pa.Table]) -> pa.Table:
    """Add up the WORDS of several shards; the same for any division into shards."""
    summed = (
        pa.concat_tables(tables).group_by("word", use_threads=False).aggregate([("count", "sum"), ("held_out", "sum")])
    )
    return summed.rename_columns(["word", "count", "held_out"]).sort_by("word").cast(WORDS)


def learnable(words: pa.Table) -> pa.Table:
    """Give WORDS to learn from: those of all documents if each of them is held out, as a single one may be."""
    if words.num_rows == 0 or np.any(numbers_of(words["count"])):
        return words
    none = integers(np.zeros(words.num_rows, dtype=np.int64))
    return pa.table([words["word"], words["held_out"], none], schema=WORDS)


def words_of(counts: Mapping[str, int]) -> pa.Table:
    """Give WORDS for counts that are known, none of them held out."""
    return _table(counts, {})


def total(words: pa.Table) -> int:
    """Count running words, the held-out ones with them."""
    return sum(int(pc.sum(words[column]).as_py() or 0) for column in ("count", "held_out"))


def _table(counts: Mapping[str, int], held_out: Mapping[str, int]) -> pa.Table:
    words = sorted(counts)
    numbers = (counts, held_out)
    columns = [np.fromiter((one.get(word, 0) for word in words), dtype=np.int64, count=len(words)) for one in numbers]
    return pa.table([strings(words), *map(integers, columns)], schema=WORDS)


@kernel
def _tally(counts_C2: Counts, numbers_N: Counts, per_S: Counts, held_out_S: NDArray[np.bool_]) -> None:
    n = 0
    for s in range(len(per_S)):
        row = np.int64(held_out_S[s])
        for _ in range(per_S[s]):
            counts_C2[numbers_N[n], row] += 1
            n += 1
