"""Documents to training examples, in two maps: each file of documents becomes a piece, then all pieces are dealt to shards.

A *piece* holds the examples of one documents file, to train on and held out; it is what an incremental rebuild saves:
a changed document remakes the piece of its file and no other. The shards that training reads are cut from all pieces and
shuffled, so they are all made again, which is copying. A document is held out by its id, so the same text is held out
whatever else the corpus holds.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import ExamplesSlice, MaskingConfig
from pipeline.core.arrow import BatchWriter, read_batches, read_table, write_table
from pipeline.core.compute import Facts, Piece, adopt
from pipeline.core.errors import DataError
from pipeline.core.seeds import rng, seed_of
from pipeline.core.stage import Context, stage

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from pipeline.objectives.blocks import Block
    from pipeline.objectives.making import Making
    from pipeline.objectives.masking import Scheme
    from pipeline.text.encode import Gate
    from pipeline.text.encoded import Encoder

HELD_OUT_BITS = 32
PARTS = ("train", "held_out")
SAMPLE_SENTENCES = 50
"""How many sentences from the front of a file, and as many spread over it, an encoder is tried on."""
SAMPLE_BATCHES = 8


@dataclass(frozen=True)
class MakeShard:
    """One file of documents to make examples of; nothing of how they are dealt later."""

    number: int
    documents: Path
    sha256: str
    tokenizer: Path
    tokenizer_sha256: str
    objectives: tuple[str, ...]
    short_probability: float
    held_out_fraction: float
    seed: int
    sequence_length: int
    static: MaskingConfig | None

    def what(self) -> dict[str, Any]:
        """Give what its examples depend on."""
        plain = {name: value for name, value in vars(self).items() if name not in ("documents", "tokenizer")}
        return plain | {"static": self.static.what() if self.static else None}


@dataclass(frozen=True)
class DealShard:
    """One shard, to be gathered from a stretch of each piece; both parts of it."""

    number: int
    seed: int
    pieces: tuple[Path, ...]
    digests: Mapping[str, tuple[str, ...]]  # of each part of the pieces
    stretches: Mapping[str, tuple[tuple[int, int], ...]]

    def what(self) -> dict[str, Any]:
        """Give what its examples depend on."""
        return {name: value for name, value in vars(self).items() if name != "pieces"}


@stage(version=2)
def examples(cfg: ExamplesSlice, ctx: Context) -> Facts:
    """Make the EXAMPLES of a recipe at one sequence length.

    Raises: DataError if the corpus gives no example to train on.
    """
    pieces = ctx.compute.map(make_shard, _pieces(cfg, ctx), key=MakeShard.what, what="files of documents")
    facts = _facts(pieces, cfg)
    shards = ctx.compute.map(deal_shard, _shards(cfg, pieces), key=DealShard.what, what="shards")
    for part in PARTS:
        for number, shard in enumerate(shards):
            adopt(shard, f"{part}.arrow", ctx.out / part / f"{number:05}.arrow")
        tokens = [shard.facts[part]["tokens"] for shard in shards]
        facts[part] |= {"shard_tokens_least": min(tokens), "shard_tokens_most": max(tokens)}
    return facts


def make_shard(job: MakeShard, out: Path) -> Facts:
    """Make the examples of one documents file: those to train on and those held out."""
    import pyarrow as pa

    from pipeline.objectives.making import ExamplesFile
    from pipeline.text.encode import special_ids

    gate = _gate(job.tokenizer, job.tokenizer_sha256)
    choice = gate.choose(_sample(job.documents))
    with ExitStack() as stack:
        files = {
            part: stack.enter_context(ExamplesFile(out / f"{part}.arrow", _making(job, part), shard=job.number))
            for part in PARTS
        }
        for block, held_D in _blocks(job, choice.encoder):
            files["train"].add(block.only(~held_D))
            files["held_out"].add(block.only(held_D))
    counts_V = files["train"].counts_V
    counts_V[special_ids(gate.tokenizer)] = 0
    write_table(out / "unigrams.arrow", pa.table({"count": counts_V}), codec="zstd")
    about = {"encoder": choice.encoder.name, "warning": choice.warning}
    return {part: file.facts() for part, file in files.items()} | about


def deal_shard(job: DealShard, out: Path) -> Facts:
    """Gather the rows of one shard in a random order."""
    return {part: {"tokens": _deal(job, part, out / f"{part}.arrow")} for part in PARTS}


def _deal(job: DealShard, part: str, path: Path) -> int:
    """Gather one part of a shard; returns how many tokens it has."""
    from pipeline.objectives.columns import lists_of
    from pipeline.objectives.dealing import Stretch, shuffled

    name = f"{part}.arrow"
    rows = zip(job.pieces, job.stretches[part], strict=True)
    stretches = [Stretch(piece / name, begin, end) for piece, (begin, end) in rows]
    tokens = 0
    with BatchWriter(path, read_table(job.pieces[0] / name).schema, codec=None, target_bytes=1) as writer:
        for batch in shuffled(stretches, rng(job.seed, "deal", part, job.number)):
            writer.add(batch)
            tokens += len(lists_of(batch["ids"])[0])
    return tokens


def _pieces(cfg: ExamplesSlice, ctx: Context) -> list[MakeShard]:
    documents, vocabulary = ctx.inputs["corpus"], ctx.inputs["tokenizer"]
    return [
        MakeShard(
            number=number,
            documents=documents.file(name),
            sha256=documents.sha256(name),
            tokenizer=vocabulary.file("tokenizer.json").parent,
            tokenizer_sha256=vocabulary.sha256("tokenizer.json"),
            objectives=cfg.objectives,
            short_probability=cfg.short_probability,
            held_out_fraction=cfg.held_out_fraction,
            seed=cfg.seed,
            sequence_length=cfg.sequence_length,
            static=cfg.static,
        )
        for number, name in enumerate(documents.names("documents"))
    ]


def _shards(cfg: ExamplesSlice, pieces: list[Piece]) -> list[DealShard]:
    """Cut both parts of all pieces into shards of equal numbers of tokens."""
    from pipeline.objectives.dealing import cut_evenly, lengths_of

    cuts = {
        part: cut_evenly([lengths_of(piece.file(f"{part}.arrow"), "ids") for piece in pieces], cfg.shards)
        for part in PARTS
    }
    return [
        DealShard(
            number=at,
            seed=cfg.seed,
            pieces=tuple(piece.path for piece in pieces),
            digests={part: tuple(piece.files[f"{part}.arrow"] for piece in pieces) for part in PARTS},
            stretches={part: tuple((int(cut[at]), int(cut[at + 1])) for cut in cuts[part]) for part in PARTS},
        )
        for at in range(cfg.shards)
    ]


def _blocks(job: MakeShard, encoder: "Encoder") -> Iterator[tuple["Block", "NDArray[np.bool_]"]]:
    """Encode the documents of a file a batch at a time; also says which are held out."""
    import numpy as np

    from pipeline.objectives.blocks import Block
    from pipeline.text.encode import encode_documents

    row = 0
    for batch in _stream(job.documents):
        sentences: Any = batch["sentences"]
        digits = bytes.fromhex("".join(str(name) for name in batch["id"].to_pylist()))
        key_D = np.frombuffer(digits, ">u8")[::2].astype(np.uint64)  # the first half of each id
        encoded = encode_documents(encoder, sentences)
        yield Block(encoded, key_D, np.arange(row, row + len(batch))), _is_held_out(key_D, job.held_out_fraction)
        row += len(batch)


def _stream(path: Path) -> Iterator["pa.RecordBatch"]:
    """Yield the record batches of a file without mapping it: what was read of a mapped file stays in memory."""
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as source:
        reader = pa.ipc.open_file(source)
        for at in range(reader.num_record_batches):
            yield reader.get_batch(at)


def _is_held_out(key_D: "NDArray[np.uint64]", fraction: float) -> "NDArray[np.bool_]":
    """Decide by the id's first bits; the shard of documents is drawn from its last ones."""
    import numpy as np

    held_D: NDArray[np.bool_] = (key_D >> np.uint64(64 - HELD_OUT_BITS)) < fraction * (1 << HELD_OUT_BITS)
    return held_D


def _sample(documents: Path) -> list[str]:
    """Take sentences from the front of a file and some that are spread over it, reading a quarter of it at most."""
    import pyarrow as pa

    first = next(_sentences(documents), None)
    if first is None:
        return []
    sample: list[str] = first[:SAMPLE_SENTENCES].to_pylist()
    with pa.OSFile(str(documents), "rb") as source:
        batches = pa.ipc.open_file(source).num_record_batches
    numbers = range(0, batches, max(4, batches // SAMPLE_BATCHES))
    for sentences in _sentences(documents, numbers):
        step = -(-len(sentences) * len(numbers) // SAMPLE_SENTENCES)
        sample += [sentences[at].as_py() for at in range(0, len(sentences), max(1, step))]
    return sample


def _sentences(documents: Path, numbers: Iterable[int] | None = None) -> Iterator[Any]:
    """Yield the sentences of the batches of a file, or of some batches."""
    for batch in read_batches(documents, numbers):
        column: Any = batch["sentences"]
        yield column.flatten()


@lru_cache(maxsize=1)
def _gate(folder: Path, sha256: str) -> "Gate":
    """Load a tokenizer and make its encoders once for all pieces that a process makes."""
    from pipeline.text.encode import Gate, load

    return Gate(load(folder))


@lru_cache(maxsize=1)
def _continues(folder: Path, sha256: str) -> "NDArray[np.bool_]":
    from pipeline.text.encode import continues

    return continues(_gate(folder, sha256).tokenizer)


def _making(job: MakeShard, part: str) -> "Making":
    from pipeline.objectives.making import Making
    from pipeline.text.encode import special_ids

    tokenizer = _gate(job.tokenizer, job.tokenizer_sha256).tokenizer
    _, _, cls_id, sep_id, _ = special_ids(tokenizer)
    return Making(
        objectives=job.objectives,
        sequence_length=job.sequence_length,
        short_probability=job.short_probability,
        seed=job.seed,
        vocab_size=tokenizer.get_vocab_size(),
        cls_id=cls_id,
        sep_id=sep_id,
        scheme=_scheme(job, job.static, part) if job.static else None,
        copies=job.static.duplicates if job.static else 1,
    )


def _scheme(job: MakeShard, static: MaskingConfig, part: str) -> "Scheme":
    from pipeline.objectives.masking import Scheme
    from pipeline.text.encode import special_ids

    tokenizer = _gate(job.tokenizer, job.tokenizer_sha256).tokenizer
    specials = tuple(special_ids(tokenizer))
    return Scheme(
        seed=seed_of(job.seed, "masks", part, job.number),
        unit=static.unit,
        rate=static.rate,
        vocab_size=tokenizer.get_vocab_size(),
        special_ids=specials,
        mask_id=specials[-1],
        continues_V=None if static.unit == "token" else _continues(job.tokenizer, job.tokenizer_sha256),
    )


def _facts(pieces: list[Piece], cfg: ExamplesSlice) -> Facts:
    names = pieces[0].facts["train"]
    sums = {part: {name: sum(piece.facts[part][name] for piece in pieces) for name in names} for part in PARTS}
    if not sums["train"]["examples"]:
        raise DataError(
            "recipe.corpus.sources: the corpus gives no example to train on; add text, "
            f"or lower recipe.examples.held_out_fraction={cfg.held_out_fraction}"
        )
    return {
        **sums,
        "unigram_entropy_nats": _entropy(sum(_unigrams(piece) for piece in pieces)),
        "encoders": sorted({piece.facts["encoder"] for piece in pieces}),
        "warnings": sorted({piece.facts["warning"] for piece in pieces} - {None}),
    }


def _unigrams(piece: Piece) -> "NDArray[np.int64]":
    counts_V: NDArray[np.int64] = read_table(piece.file("unigrams.arrow"))["count"].to_numpy()
    return counts_V


def _entropy(counts_V: Any) -> float:
    """Give the entropy of single tokens: what a model without context can reach."""
    counts = [int(count) for count in counts_V if count]
    total = sum(counts)
    return math.log(total) - sum(count * math.log(count) for count in counts) / total
