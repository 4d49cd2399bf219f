"""Documents to a vocabulary: words are counted shard by shard, then pieces are learned from the sum."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import TokenizerConfig
from pipeline.core.arrow import read_rows
from pipeline.core.compute import Facts, adopt
from pipeline.core.stage import Context, stage


@dataclass(frozen=True)
class CountShard:
    """One shard whose words are to be counted."""

    documents: Path
    sha256: str
    algorithm: str
    lowercase: bool

    def what(self) -> dict[str, Any]:
        """Give what its counts depend on."""
        return {"sha256": self.sha256, "algorithm": self.algorithm, "lowercase": self.lowercase}


@dataclass(frozen=True)
class Learn:
    """The counts of all shards, to learn a vocabulary from."""

    counts: tuple[Path, ...]
    digests: tuple[str, ...]
    algorithm: str
    vocab_size: int
    lowercase: bool

    def what(self) -> dict[str, Any]:
        """Give what the vocabulary depends on."""
        return {name: value for name, value in vars(self).items() if name != "counts"}


@stage(version=1)
def tokenizer(cfg: TokenizerConfig, ctx: Context) -> Facts:
    """Make a tokenizer folder that `transformers.AutoTokenizer` loads unchanged.

    Raises: DataError if the corpus is too small for the vocabulary.
    """
    documents = ctx.inputs["corpus"]
    shards = [
        CountShard(documents.file(name), documents.sha256(name), cfg.algorithm, cfg.lowercase)
        for name in documents.names("documents")
    ]
    counted = ctx.compute.map(count_shard, shards, key=CountShard.what, what="shards")
    paths = tuple(piece.file("counts.json") for piece in counted)
    digests = tuple(piece.files["counts.json"] for piece in counted)
    job = Learn(paths, digests, cfg.algorithm, cfg.vocab_size, cfg.lowercase)
    (learned,) = ctx.compute.map(learn, [job], key=Learn.what, what="vocabulary")
    for name in learned.files:
        adopt(learned, name, ctx.out / name)
    return learned.facts


def count_shard(job: CountShard, out: Path) -> Facts:
    """Count the words of one shard."""
    from pipeline.text.vocab import count_words, splitter

    split = splitter(job.algorithm, lowercase=job.lowercase)
    sentences = (sentence for row in read_rows(job.documents) for sentence in row["sentences"])
    counts = count_words(sentences, split)
    (out / "counts.json").write_text(json.dumps(counts, sort_keys=True, ensure_ascii=False), encoding="utf-8")
    return {"words": sum(counts.values())}


def learn(job: Learn, out: Path) -> Facts:
    """Learn a vocabulary from the counts of all shards."""
    from pipeline.text.vocab import merge_counts, save, train

    counts = merge_counts(json.loads(path.read_text(encoding="utf-8")) for path in job.counts)
    save(train(job.algorithm, counts, vocab_size=job.vocab_size, lowercase=job.lowercase), out)
    return {"vocab_size": job.vocab_size, "words": sum(counts.values()), "distinct_words": len(counts)}
