"""Documents to a vocabulary: words are counted shard by shard, then pieces are learned from the sum.

One document in a hundred, drawn by its id, is not learned from: how well the vocabulary fits is measured on those. They are
the first that the examples keep for evaluation, so with at least as many held out there the figures are of text that neither
the vocabulary nor the model has seen. An existing tokenizer is measured the same way and nothing is learned.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipeline.config import TokenizerConfig
from pipeline.core.arrow import read_batches, read_table, rows_of, write_table
from pipeline.core.compute import Facts, Piece, adopt
from pipeline.core.files import SourceFile, require_unchanged
from pipeline.core.stage import Context, stage

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

HELD_OUT_SHARE = 0.01
HELD_OUT_DIGITS = 8
"""As in the examples, a document is drawn by the first 32 bits of its id."""


@dataclass(frozen=True)
class Existing:
    """A tokenizer made elsewhere; `lowercase` is for a bare vocab.txt."""

    files: tuple[SourceFile, ...]
    lowercase: bool

    def what(self) -> dict[str, Any]:
        """Give what its ids depend on."""
        return {"files": [file.what() for file in self.files], "lowercase": self.lowercase}


@dataclass(frozen=True)
class New:
    """A tokenizer to be learned."""

    algorithm: str
    lowercase: bool

    def what(self) -> dict[str, Any]:
        """Give what its words depend on."""
        return dict(vars(self))


@dataclass(frozen=True)
class CountShard:
    """One shard whose words are to be counted, as a tokenizer cuts them."""

    documents: Path
    sha256: str
    tokenizer: New | Existing

    def what(self) -> dict[str, Any]:
        """Give what its counts depend on."""
        return {"sha256": self.sha256, "tokenizer": self.tokenizer.what()}


@dataclass(frozen=True)
class Finish:
    """The counts of all shards, to learn a vocabulary from, or to measure an existing one on."""

    counts: tuple[Path, ...]
    digests: tuple[str, ...]
    tokenizer: New | Existing
    vocab_size: int

    def what(self) -> dict[str, Any]:
        """Give what the vocabulary and its figures depend on."""
        return {"digests": self.digests, "tokenizer": self.tokenizer.what(), "vocab_size": self.vocab_size}


@stage(version=3)
def tokenizer(cfg: TokenizerConfig, ctx: Context) -> Facts:
    """Make a tokenizer folder that `transformers.AutoTokenizer` loads unchanged.

    Raises: DataError if the corpus is too small for the vocabulary, or an existing tokenizer cannot be used.
    """
    documents, files = ctx.inputs["corpus"], ctx.sources.get("tokenizer", ())
    wanted = Existing(files, cfg.lowercase) if files else New(cfg.algorithm, cfg.lowercase)
    shards = [CountShard(documents.file(name), documents.sha256(name), wanted) for name in documents.names("documents")]
    counted = ctx.compute.map(count_shard, shards, key=CountShard.what, what="shards")
    (made,) = ctx.compute.map(finish, [_finish(counted, wanted, cfg)], key=Finish.what, what="vocabulary")
    for name in made.files:
        adopt(made, name, ctx.out / name)
    return made.facts


def count_shard(job: CountShard, out: Path) -> Facts:
    """Count the words of one shard."""
    from pipeline.text.counting import count_documents
    from pipeline.text.vocab import split_by, splitter

    wanted = job.tokenizer
    if isinstance(wanted, New):
        split = splitter(wanted.algorithm, lowercase=wanted.lowercase)
    else:
        split = split_by(_read(wanted))
    documents = _documents(job.documents) if isinstance(wanted, New) else _sample(job.documents)
    words = count_documents(documents, split)
    write_table(out / "words.arrow", words, codec="zstd")
    return {"distinct_words": words.num_rows}


def finish(job: Finish, out: Path) -> Facts:
    """Learn a vocabulary from the counts of all shards, or take the existing one, and measure it."""
    from pipeline.text.counting import add_up, learnable, total
    from pipeline.text.vocab import save, train
    from pipeline.text.vocab.measure import measure

    words = learnable(add_up([read_table(path) for path in job.counts]))
    wanted = job.tokenizer
    if isinstance(wanted, New):
        made = train(wanted.algorithm, words, vocab_size=job.vocab_size, lowercase=wanted.lowercase)
    else:
        made = _read(wanted)
    save(made, out)
    facts: Facts = {"vocab_size": made.get_vocab_size(), **measure(made, words)}
    if isinstance(wanted, New):
        return facts | {"words": total(words), "distinct_words": words.num_rows}
    return facts | {"measured_on": "a hundredth of the documents"}


def _finish(counted: list[Piece], wanted: New | Existing, cfg: TokenizerConfig) -> Finish:
    return Finish(
        tuple(piece.file("words.arrow") for piece in counted),
        tuple(piece.files["words.arrow"] for piece in counted),
        wanted,
        cfg.vocab_size,
    )


@lru_cache(maxsize=1)
def _read(existing: Existing) -> "Tokenizer":
    from pipeline.text.vocab.existing import read

    found = read([file.path for file in existing.files], lowercase=existing.lowercase)
    for file in existing.files:
        require_unchanged(file.path, file.sha256)
    return found


def _sample(path: Path) -> Iterator[tuple["pa.ListArray[Any]", "NDArray[np.bool_]"]]:
    """Yield the first hundredth of a shard's documents, at least one: sorted by a hash, they are a sample of them all."""
    import numpy as np

    rows = rows_of(path) or 0
    left = -(-rows // 100)
    for batch in read_batches(path):
        some = batch.column("sentences").slice(0, left)
        yield cast("pa.ListArray[Any]", some), np.ones(len(some), dtype=np.bool_)
        left -= len(some)
        if not left:
            return


def _documents(path: Path) -> Iterator[tuple["pa.ListArray[Any]", "NDArray[np.bool_]"]]:
    """Yield the documents of a shard a batch at a time, and which of them are held out."""
    import numpy as np

    limit = HELD_OUT_SHARE * 16**HELD_OUT_DIGITS
    for batch in read_batches(path):
        names, sentences = (batch.column(name) for name in ("id", "sentences"))
        held_out = [int(str(name)[:HELD_OUT_DIGITS], 16) < limit for name in names.to_pylist()]
        yield cast("pa.ListArray[Any]", sentences), np.array(held_out, dtype=np.bool_)
