"""How much work a stage is, by its recipe and what it reads: seconds by tables, bytes, and what the next stages will read.

The tables need not be right: where a store has earlier runs, their times say by how much these seconds are wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from pipeline.config import ModelConfig
from pipeline.estimate.machine import Machine
from pipeline.model.shape import Shape, flops_per_token, parameter_count

Recipe = Mapping[str, Any]
"""The part of a manifest that names an artifact: config, inputs, sources."""

CHARACTERS_A_BYTE = {".bz2": 1.5, ".gz": 2.5, ".zst": 2.5, ".xz": 3.0, ".parquet": 1.6, ".jsonl": 0.9, ".xml": 0.3}
"""End of a source's name -> characters of clean text in one of its bytes; plain text has one."""
CORPUS_CHARACTERS = {"wikipedia": 1.8e6, "mediawiki": 1.8e6}
OTHER_CORPUS_CHARACTERS = 6.5e6
TOKENIZER_CHARACTERS = 11e6
EXAMPLES_CHARACTERS = 16e6
"""Characters a second and core. Source: benchmarks/results/2026-11-22-data.md and -tokenizer.md."""
DATA_BASIS = "from the rates in benchmarks/results"
CORPUS_BYTES = 0.45
"""Bytes of an Arrow file of documents a character: zstd, ids and titles included."""
TOKENIZER_BYTES = 28.0
"""Bytes of tokenizer.json and vocab.txt a piece."""
SMALL_VOCABULARY = 16_000
CHARACTERS_A_TOKEN = (3.4, 4.3)
"""With a vocabulary below and above that."""
TOKEN_BYTES = (2.2, 4.2)
"""Bytes of an example a token: uint16 ids and uint32 ids, row borders included."""
WIDE = 1 << 16
FILLED = 0.95
"""The share of a sequence that tokens fill, where no examples are there to count."""
FLOAT_BYTES = 4
STATE_FLOATS = 3
"""A checkpoint holds weights and two moments."""
FORWARD_SHARE = 1 / 3
RECOMPUTED = 4 / 3
RANKS_START_SECONDS = 30.0
WORKERS_START_SECONDS = 10.0
"""Until the first step, and the first piece: processes that start and import. Measured on two cores."""
COPIED_BYTES = 200e6
"""A second: read, hashed and written again."""
COPY_BASIS = "from the bytes to copy"
MODELS = ("pretrain", "finetune", "sweep")
SIZES_TOLD = ("architecture", "layers", "width", "heads", "max_positions", "vocab_size")
"""What the facts of a model made elsewhere tell of its shape."""


@dataclass(frozen=True)
class Volume:
    """What an artifact holds, in the units by which later stages cost."""

    characters: float = 0.0
    tokens: float = 0.0
    examples: float = 0.0
    held_out_tokens: float = 0.0
    vocab_size: int = 0
    shape: Shape | None = None


@dataclass(frozen=True)
class Work:
    """What a stage would cost by the tables."""

    seconds: float
    start_seconds: float
    watts: float
    bytes: float
    scratch_bytes: float
    volume: Volume
    basis: str
    kind: float = 1.0
    """Only earlier runs whose number is near this one tell how fast it goes: operations a token."""


Inputs = Mapping[str, Volume]


def _corpus(recipe: Recipe, inputs: Inputs, machine: Machine, keep: int) -> Work:
    characters, seconds = 0.0, 0.0
    for at, source in enumerate(recipe["config"]["sources"]):
        found = sum(file["bytes"] * _swelling(file["name"]) for file in recipe["sources"][f"sources.{at}"])
        characters += found
        seconds += found / CORPUS_CHARACTERS.get(source["kind"], OTHER_CORPUS_CHARACTERS)
    return _data(seconds, machine, CORPUS_BYTES * characters, Volume(characters=characters))


def _tokenizer(recipe: Recipe, inputs: Inputs, machine: Machine, keep: int) -> Work:
    vocab_size = int(recipe["config"]["vocab_size"])
    seconds = inputs["corpus"].characters / TOKENIZER_CHARACTERS
    return _data(seconds, machine, TOKENIZER_BYTES * vocab_size, Volume(vocab_size=vocab_size))


def _examples(recipe: Recipe, inputs: Inputs, machine: Machine, keep: int) -> Work:
    config, vocab_size = recipe["config"], inputs["tokenizer"].vocab_size
    copies = (config["static"] or {}).get("duplicates", 1)
    characters = copies * inputs["corpus"].characters
    tokens = characters / CHARACTERS_A_TOKEN[vocab_size >= SMALL_VOCABULARY]
    held_out = config["held_out_fraction"] * tokens
    examples = (tokens - held_out) / (FILLED * config["sequence_length"])
    volume = Volume(tokens=tokens - held_out, examples=examples, held_out_tokens=held_out)
    return _data(characters / EXAMPLES_CHARACTERS, machine, TOKEN_BYTES[vocab_size > WIDE] * tokens, volume)


def _adopt(recipe: Recipe, inputs: Inputs, machine: Machine, keep: int) -> Work:
    size = float(sum(file["bytes"] for files in recipe["sources"].values() for file in files))
    copied = replace(_data(0.0, machine, size, Volume()), start_seconds=0.0)
    return replace(copied, seconds=size / COPIED_BYTES, basis=COPY_BASIS)


def _pretrain(recipe: Recipe, inputs: Inputs, machine: Machine, keep: int) -> Work:
    config, shape = recipe["config"], _shape(recipe["config"], inputs)
    share = config["masking"]["rate"]
    flops, tokens = 0.0, 0.0
    for phase in config["phases"]:
        read = inputs[f"examples-{phase['sequence_length']}"]
        length = read.tokens / read.examples if read.examples else FILLED * phase["sequence_length"]
        seen = length * _sequences(phase)
        evaluated = min(read.held_out_tokens, config["evaluate_rows"] * length)
        evaluated *= ceil(phase["steps"] / config["evaluate_every"])
        each = flops_per_token(shape, attended=length, predicted_share=share)
        flops += each * (seen + FORWARD_SHARE * evaluated)
        tokens += seen
    return _training(shape, flops, flops / max(1.0, tokens), machine, config["precision"], keep)


def _finetune(recipe: Recipe, inputs: Inputs, machine: Machine, keep: int) -> Work:
    return _tuning(recipe, inputs, machine, keep, (recipe["config"]["epochs"],))


def _sweep(recipe: Recipe, inputs: Inputs, machine: Machine, keep: int) -> Work:
    config = recipe["config"]
    trials = {name: config["sweep"][name] or [config[name]] for name in ("batch", "learning_rate", "epochs")}
    again = len(trials["batch"]) * len(trials["learning_rate"]) * config["sweep"]["seeds"]
    work = _tuning(recipe, inputs, machine, keep, again * tuple(trials["epochs"]))
    weights = again * len(trials["epochs"]) * work.bytes  # those of every trial stay until `pretrace gc`
    return replace(work, scratch_bytes=machine.ranks * work.scratch_bytes + weights)


def _tuning(recipe: Recipe, inputs: Inputs, machine: Machine, keep: int, epochs: Sequence[int]) -> Work:
    """Say how much work some trainings on one task are, given the epochs of each."""
    config, shape = recipe["config"], _shape(recipe["config"], inputs)
    characters = sum(file["bytes"] * _swelling(file["name"]) for file in recipe["sources"].get("train", ()))
    tokens = characters / CHARACTERS_A_TOKEN[shape.vocab_size >= SMALL_VOCABULARY]
    each = flops_per_token(shape, attended=config["sequence_length"] / 2, predicted_share=0.0)
    passes = sum(epochs) + FORWARD_SHARE * len(epochs)
    return _training(shape, each * tokens * passes, each, machine, "float32", keep)


def _shape(config: Mapping[str, Any], inputs: Inputs) -> Shape:
    """Give the shape of a model: its own, or that of the one it goes on from.

    Raises: KeyError if nothing is known of that one.
    """
    if config["model"] is not None:
        return ModelConfig.model_validate(config["model"]).shape(inputs["tokenizer"].vocab_size)
    begin = next(inputs[role].shape for role in ("init", "pretrain") if role in inputs)
    if begin is None:
        raise KeyError("shape")
    return begin


WORK: dict[str, Callable[[Recipe, Inputs, Machine, int], Work]] = {
    "corpus": _corpus,
    "tokenizer": _tokenizer,
    "examples": _examples,
    "pretrain": _pretrain,
    "finetune": _finetune,
    "sweep": _sweep,
    "adopt": _adopt,
}
"""Stage -> its work; the last argument is how many checkpoints are kept."""


def volume_of(manifest: Mapping[str, Any], inputs: Inputs) -> Volume:
    """Read what a made artifact holds."""
    facts, label = manifest["facts"], manifest["label"]
    if label == "corpus":
        return Volume(characters=facts["characters"])
    if label == "tokenizer":
        return Volume(vocab_size=facts["vocab_size"])
    if label == "examples":
        train = facts["train"]
        return Volume(
            tokens=train["tokens"], examples=train["examples"], held_out_tokens=facts["held_out"].get("tokens", 0)
        )
    if label == "adopt":
        return adopted(Shape(**{name: facts[name] for name in SIZES_TOLD}))
    if label in MODELS:
        return Volume(shape=_shape(manifest["config"], inputs))
    return Volume()


def adopted(shape: Shape) -> Volume:
    """Say what a model made elsewhere holds: it brings its vocabulary."""
    return Volume(vocab_size=shape.vocab_size, shape=shape)


def _data(seconds: float, machine: Machine, kept: float, volume: Volume) -> Work:
    return Work(
        seconds=seconds / machine.busy_workers,
        start_seconds=WORKERS_START_SECONDS,
        watts=machine.data_watts(),
        bytes=kept,
        scratch_bytes=0.0,  # pieces are linked into the artifact, or smaller than it
        volume=volume,
        basis=DATA_BASIS,
    )


def _training(shape: Shape, flops: float, each: float, machine: Machine, precision: str, keep: int) -> Work:
    weights = FLOAT_BYTES * parameter_count(shape)
    return Work(
        seconds=flops / machine.flops_per_second(precision),
        start_seconds=RANKS_START_SECONDS,
        watts=machine.training_watts(),
        bytes=weights,
        scratch_bytes=STATE_FLOATS * weights * (keep + 1),
        volume=Volume(shape=shape),
        basis=machine.training_basis(),
        kind=each,
    )


def _swelling(name: str) -> float:
    return next((ratio for end, ratio in CHARACTERS_A_BYTE.items() if name.endswith(end)), 1.0)


def _sequences(phase: Mapping[str, Any]) -> float:
    """Count the sequences of a phase, whose batch may grow."""
    grown = phase["global_batch"] - (phase["first_batch"] or phase["global_batch"])
    return float(phase["steps"] * phase["global_batch"] - phase["batch_warmup_steps"] * grown / 2)
