"""Documents to training examples: a map over shards; each becomes a file to train on and a file held out.

A document is held out by its id, so the same text is held out whatever else the corpus holds. An example's documents are
rows of the documents file of the same number.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import ExamplesSlice
from pipeline.core.arrow import read_rows, read_table, write_table
from pipeline.core.compute import Facts, Piece, adopt
from pipeline.core.errors import DataError
from pipeline.core.seeds import rng, seed_of
from pipeline.core.stage import Context, stage
from pipeline.tables import Next

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from pipeline.objectives.segments import Examples, StaticMasks
    from pipeline.text.encode import Encoded

HELD_OUT_BITS = 32
PARTS = ("train", "held_out")


@dataclass(frozen=True)
class MakeShard:
    """One shard of documents to make examples of."""

    number: int
    documents: Path
    sha256: str
    tokenizer: Path
    tokenizer_sha256: str
    config: ExamplesSlice

    def what(self) -> dict[str, Any]:
        """Give what its examples depend on."""
        paths = ("documents", "tokenizer")
        return {name: value for name, value in vars(self).items() if name not in paths} | {"config": self.config.what()}


@stage(version=1)
def examples(cfg: ExamplesSlice, ctx: Context) -> Facts:
    """Make the EXAMPLES of a recipe at one sequence length.

    Raises: DataError if the corpus gives no example to train on.
    """
    documents, vocabulary = ctx.inputs["corpus"], ctx.inputs["tokenizer"]
    folder, digest = vocabulary.file("tokenizer.json").parent, vocabulary.sha256("tokenizer.json")
    jobs = [
        MakeShard(number, documents.file(name), documents.sha256(name), folder, digest, cfg)
        for number, name in enumerate(documents.names("documents"))
    ]
    shards = ctx.compute.map(make_shard, jobs, key=MakeShard.what, what="shards")
    for number, shard in enumerate(shards):
        for part in PARTS:
            adopt(shard, f"{part}.arrow", ctx.out / part / f"{number:05}.arrow")
    return _facts(shards, cfg)


def make_shard(job: MakeShard, out: Path) -> Facts:
    """Make the examples of one shard: those to train on and those held out."""
    from pipeline.text.encode import load

    tokenizer = load(job.tokenizer)
    held = [_is_held_out(row["id"], job.config.held_out_fraction) for row in read_rows(job.documents)]
    facts: Facts = {}
    for part, wanted in zip(PARTS, (False, True), strict=True):
        rows = [row for row, flag in enumerate(held) if flag is wanted]
        table = _examples_of(job, part, rows, tokenizer)
        write_table(out / f"{part}.arrow", table, codec=None)
        facts[part] = _describe(table) | {"documents": len(rows)}
    _write_unigrams(out, tokenizer.get_vocab_size())
    return facts


def _examples_of(job: MakeShard, part: str, rows: list[int], tokenizer: "Tokenizer") -> "pa.Table":
    """Make the examples of some documents of a shard, in as many copies as static masking wants."""
    import pyarrow as pa

    from pipeline.text.encode import encode_documents

    wanted = set(rows)
    texts = [row["sentences"] for at, row in enumerate(read_rows(job.documents)) if at in wanted]
    encoded = encode_documents(tokenizer, texts)
    copies = job.config.static.duplicates if job.config.static else 1
    return pa.concat_tables([_copy(job, part, copy, rows, encoded, tokenizer) for copy in range(copies)])


def _copy(
    job: MakeShard, part: str, copy: int, rows: list[int], encoded: "Encoded", tokenizer: "Tokenizer"
) -> "pa.Table":
    import numpy as np

    from pipeline.objectives import pair_maker
    from pipeline.objectives.segments import to_table
    from pipeline.text.encode import special_ids

    _, _, cls_id, sep_id, _ = special_ids(tokenizer)
    made = pair_maker(job.config.objectives)(
        encoded,
        sequence_length=job.config.sequence_length,
        short_probability=job.config.short_probability,
        cls_id=cls_id,
        sep_id=sep_id,
        rng=rng(job.config.seed, "examples", part, job.number, copy),
    )
    in_shard = np.array([*rows, -1], dtype=np.int64)  # the last is for -1: no document
    placed = replace(made, first_row=in_shard[made.first_row], second_row=in_shard[made.second_row])
    return to_table(placed, tokenizer.get_vocab_size(), _static_masks(job, part, copy, placed, tokenizer))


def _static_masks(
    job: MakeShard, part: str, copy: int, made: "Examples", tokenizer: "Tokenizer"
) -> "StaticMasks | None":
    from pipeline.objectives.mlm import mask_examples
    from pipeline.text.encode import continues, special_ids

    static = job.config.static
    if static is None:
        return None
    return mask_examples(
        made,
        first_example=0,
        duplicate=copy,
        seed=seed_of(job.config.seed, "masks", part, job.number),
        rate=static.rate,
        vocab_size=tokenizer.get_vocab_size(),
        special_ids=special_ids(tokenizer),
        mask_id=special_ids(tokenizer)[-1],
        continues_V=continues(tokenizer) if static.unit == "word" else None,
    )


def _is_held_out(document: str, fraction: float) -> bool:
    """Decide by the id's first bits; the shard is drawn from its last ones."""
    return int(document[: HELD_OUT_BITS // 4], 16) < fraction * (1 << HELD_OUT_BITS)


def _describe(table: "pa.Table") -> Facts:
    import numpy as np
    import pyarrow.compute as pc

    labels = np.bincount(table["label"].to_numpy(), minlength=len(Next))
    tokens = int(pc.sum(pc.list_value_length(table["ids"])).as_py() or 0)
    return {
        "examples": table.num_rows,
        "tokens": tokens,
        **{f"{label.name.lower()}_pairs": int(labels[label]) for label in Next},
    }


def _write_unigrams(out: Path, vocab_size: int) -> None:
    """Count how often each token stands in the examples to train on."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    table = read_table(out / "train.arrow")
    counts_V = np.bincount(pc.list_flatten(table["ids"]).to_numpy(), minlength=vocab_size)
    if "masked_at" in table.column_names:  # count what stood there, not what hides it
        counts_V += _restored(table, vocab_size)
    write_table(out / "unigrams.arrow", pa.table({"count": pa.array(counts_V, pa.int64())}), codec="zstd")


def _restored(table: "pa.Table", vocab_size: int) -> "NDArray[np.int64]":
    """Give what static masking changed in the counts of tokens, the other way round."""
    import numpy as np
    import pyarrow.compute as pc

    lengths, masked = (pc.list_value_length(table[name]).to_numpy() for name in ("ids", "masked_at"))
    begin_M = np.repeat(np.cumsum(lengths) - lengths, masked)
    at_M = begin_M + pc.list_flatten(table["masked_at"]).to_numpy()
    hidden_M = pc.list_flatten(table["ids"]).to_numpy()[at_M]
    true_M = pc.list_flatten(table["masked_ids"]).to_numpy()
    restored_V: NDArray[np.int64] = np.bincount(true_M, minlength=vocab_size) - np.bincount(
        hidden_M, minlength=vocab_size
    )
    return restored_V


def _facts(shards: list[Piece], cfg: ExamplesSlice) -> Facts:
    names = shards[0].facts["train"]
    sums = {part: {name: sum(shard.facts[part][name] for shard in shards) for name in names} for part in PARTS}
    if not sums["train"]["examples"]:
        raise DataError(
            "recipe.corpus.sources: the corpus gives no example to train on; add text, "
            f"or lower recipe.examples.held_out_fraction={cfg.held_out_fraction}"
        )
    return {**sums, "unigram_entropy_nats": _entropy(sum(_unigrams(shard) for shard in shards))}


def _unigrams(shard: Piece) -> "NDArray[np.int64]":
    counts_V: NDArray[np.int64] = read_table(shard.file("unigrams.arrow"))["count"].to_numpy()
    return counts_V


def _entropy(counts_V: Any) -> float:
    """Give the entropy of single tokens, [CLS], [SEP] and [MASK] left out: what a model without context can reach."""
    counts = [int(count) for count in counts_V[5:] if count]
    total = sum(counts)
    return math.log(total) - sum(count * math.log(count) for count in counts) / total
