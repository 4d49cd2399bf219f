"""The order: everything one rank needs to know, as one JSON file that can be run again by hand.

A stage writes it, `rank.py` reads it. Paths are absolute, lengths are tokens, unknown keys are errors. What is under
`run` says how and where (ranks, memory, checkpoints): it changes the order of summation and, where there is dropout, its
draws; all the rest says what.
"""

import json
import types
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pipeline.core.errors import ConfigError
from pipeline.model.shape import Shape

Job = Literal["pretrain", "finetune"]
Precision = Literal["float32", "bf16", "fp16"]


@dataclass(frozen=True)
class Masking:
    """What the masked language model hides; required where an order's objectives hold `mlm`."""

    mode: Literal["dynamic", "static"]  # static: the examples carry masked_at and masked_ids
    unit: Literal["token", "word", "span"]
    rate: float
    mask_id: int
    special_ids: tuple[int, ...]  # never hidden, never drawn: [PAD], [UNK], [CLS], [SEP], [MASK]
    tokenizer: str | None = None  # its folder says which pieces continue a word (units "word" and "span")


@dataclass(frozen=True)
class Phase:
    """A stretch of pretraining at one sequence length and one global batch."""

    examples: tuple[str, ...]  # EXAMPLES files, in this order
    held_out: tuple[str, ...]  # EXAMPLES files never trained on; may be empty
    sequence_length: int
    steps: int
    global_batch: int  # sequences
    first_batch: int | None = None  # sequences of the first step, where the batch grows
    batch_warmup_steps: int = 0  # until it has grown to global_batch


@dataclass(frozen=True)
class Asked:
    """A table of which the finished model is asked, and what its predictions are called."""

    name: str
    path: str


@dataclass(frozen=True)
class Tuning:
    """Fine-tuning: Arrow files of a task as `tables.encoded_schema` has them, and how the weights are tuned."""

    kind: Literal["classify", "regress", "choose", "span", "tag"]
    train: str
    dev: str
    epochs: int
    batch: int  # rows, or questions with choices, over all ranks
    labels: tuple[str, ...] = ()  # classify and tag: names of the classes
    choices: int = 1  # choose: rows of a question, one behind another
    predicted: tuple[Asked, ...] = ()
    layer_decay: float = 1.0  # each part's learning rate in relation to the one above it
    trained: Literal["all", "head", "gradual"] = (
        "all"  # head: the encoder stays as it is; gradual: a part more an epoch
    )


@dataclass(frozen=True)
class Optimizer:
    """How gradients become updates; no weight decay on biases and norms. Defaults: Devlin et al. 2019, appendix A.2."""

    learning_rate: float  # peak
    name: Literal["adamw", "lamb", "stableadamw", "muon"] = "adamw"
    matrix_learning_rate: float = 0.02  # muon: peak for the weight matrices of the layers
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-6  # as google-research/bert optimization.py
    weight_decay: float = 0.01
    clip: float = 1.0  # global gradient norm


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to the peak, then down, to zero after the last step of the last phase."""

    warmup_steps: int
    name: Literal["linear", "cosine", "wsd"] = "linear"
    decay_steps: int | None = None  # wsd: the last steps, in which the rate falls; None: a tenth of all


@dataclass(frozen=True)
class Running:
    """How and where; changes nothing beyond summation order and, where there is dropout, its draws."""

    micro_batch: int = 32  # sequences a rank in one forward pass, at most; more where they are shorter
    zero_stage: Literal[0, 1, 2, 3] = 2
    offload: Literal["none", "optimizer", "parameters"] = "none"
    checkpoint_steps: int | None = None
    checkpoint_seconds: float | None = None
    keep_checkpoints: int = 2
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 1  # of the CPU, for each rank
    attention: Literal["auto", "padded", "varlen"] = "auto"
    compile: bool = False
    recompute: bool = False
    spike_nats: float | None = None  # above the median of the last steps' losses
    max_rewinds: int = 3


@dataclass(frozen=True)
class Order:
    """One training job. `out` gets the artifact at the end; `work` is kept between attempts."""

    job: Job
    out: str
    work: str
    seed: int
    shape: Shape
    optimizer: Optimizer
    schedule: Schedule
    objectives: tuple[str, ...] = ()  # pretrain: names in pipeline.objectives.OBJECTIVES
    masking: Masking | None = None
    phases: tuple[Phase, ...] = ()  # pretrain
    tuning: Tuning | None = None  # finetune
    init: str | None = None  # Hugging Face folder to start from; None: random weights
    precision: Precision = "float32"
    evaluate_every: int | None = None  # steps; None: only at the end of a phase
    evaluate_rows: int | None = None  # held-out rows an evaluation reads; None: all
    log_every: int = 1  # steps between flushes of the curve journal
    run: Running = field(default_factory=Running)

    def __post_init__(self) -> None:
        _check(self)

    @staticmethod
    def read(path: Path) -> "Order":
        """Read and check an order.

        Raises: ConfigError for an unknown or missing key or a value of the wrong kind, naming its dotted path.
        """
        return order_of(json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        """Write the order as JSON that `Order.read` gives back unchanged."""
        path.write_text(json.dumps(self.as_dict(), indent=1) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, e.g. to hand to a gang of ranks."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def order_of(plain: dict[str, Any]) -> Order:
    """Build an order from plain JSON values; see `Order.read`."""
    order = _build(Order, plain, "order")
    assert isinstance(order, Order)
    return order


def _check(order: Order) -> None:
    if order.job == "pretrain" and not (order.phases and order.objectives):
        raise ConfigError("order.phases, order.objectives: a pretrain order needs at least one of each")
    if order.job == "finetune" and order.tuning is None:
        raise ConfigError("order.tuning: a finetune order needs it")
    if "mlm" in order.objectives and order.masking is None:
        raise ConfigError("order.masking: the objective mlm needs it")
    if order.masking and order.masking.unit != "token" and order.masking.tokenizer is None:
        raise ConfigError(f"order.masking.tokenizer: unit {order.masking.unit} needs the tokenizer's folder")
    for at, phase in enumerate(order.phases):
        if phase.sequence_length > order.shape.max_positions:
            raise ConfigError(
                f"order.phases.{at}.sequence_length={phase.sequence_length} exceeds "
                f"order.shape.max_positions={order.shape.max_positions}"
            )


def _build(kind: Any, value: Any, at: str) -> Any:
    if is_dataclass(kind):
        return _build_dataclass(kind, value, at)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = next(part for part in get_args(kind) if part is not type(None))
        return None if value is None else _build(inner, value, at)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{at}={value!r}: expected a list")
        return tuple(_build(get_args(kind)[0], item, f"{at}.{index}") for index, item in enumerate(value))
    return _build_scalar(kind, value, at)


def _build_dataclass(kind: Any, value: Any, at: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(f"{at}={value!r}: expected a table of {kind.__name__}")
    known = {entry.name: entry for entry in fields(kind)}
    if unknown := sorted(set(value) - set(known)):
        raise ConfigError(f"{at}.{unknown[0]}: unknown key; known are {', '.join(known)}")
    needed = [name for name, entry in known.items() if entry.default is MISSING and entry.default_factory is MISSING]
    if missing := [name for name in needed if name not in value]:
        raise ConfigError(f"{at}.{missing[0]}: missing")
    hints = get_type_hints(kind)
    return kind(**{name: _build(hints[name], item, f"{at}.{name}") for name, item in value.items()})


def _build_scalar(kind: Any, value: Any, at: str) -> Any:
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ConfigError(f"{at}={value!r}: expected one of {', '.join(map(str, get_args(kind)))}")
        return value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{at}={value!r}: expected {kind.__name__}")
    return value
