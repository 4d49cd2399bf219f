"""Which choices of optimizer, precision, ZeRO stage, offload and device do not go together, and why.

The one list of them, read by the settings (so that `pretrace plan` refuses) and again by each rank. No torch here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """What is chosen together."""

    optimizer: str
    precision: str
    zero_stage: int
    offload: str
    device: str


@dataclass(frozen=True)
class _Rule:
    """A combination that is refused."""

    hits: Callable[[Choice], bool]
    names: tuple[str, ...]  # of the settings to blame
    why: str  # and what to do


RULES = (
    _Rule(
        lambda it: it.precision != "float32" and it.zero_stage == 0,
        ("precision", "zero_stage"),
        "DeepSpeed keeps no float32 weights there that could be carried to other stages; take stage 1, 2 or 3",
    ),
    _Rule(
        lambda it: it.precision == "fp16" and it.device == "cpu",
        ("precision", "device"),
        "few CPUs compute it, slowly, and DeepSpeed refuses the others; take float32 or run on cuda",
    ),
    _Rule(
        lambda it: it.optimizer == "lamb" and it.device == "cpu",
        ("optimizer", "device"),
        "LAMB is for batches of many thousands and, as in DeepSpeed, for CUDA alone; take stableadamw or adamw",
    ),
    _Rule(
        lambda it: it.offload == "optimizer" and it.zero_stage == 0,
        ("offload", "zero_stage"),
        "only ZeRO can keep moments in host memory; take stage 1, 2 or 3",
    ),
    _Rule(
        lambda it: it.offload == "parameters" and it.zero_stage != 3,
        ("offload", "zero_stage"),
        "only stage 3 parts the weights and can keep them in host memory; take stage 3 or offload optimizer",
    ),
)

SETTINGS = {
    "optimizer": "recipe.pretrain.optimizer",
    "precision": "recipe.pretrain.precision",
    "zero_stage": "run.zero_stage",
    "offload": "run.offload",
    "device": "run.device",
}
"""What the choices are called in the config."""
ORDER = {
    "optimizer": "order.optimizer.name",
    "precision": "order.precision",
    "zero_stage": "order.run.zero_stage",
    "offload": "order.run.offload",
    "device": "order.run.device",
}
"""What they are called in an order."""


def refusals(choice: Choice, called: Mapping[str, str]) -> Iterator[str]:
    """Yield why a choice is refused, with the settings as they are `called` and their values."""
    for rule in RULES:
        if rule.hits(choice):
            blamed = " with ".join(f"{called[name]}={getattr(choice, name)}" for name in rule.names)
            yield f"{blamed}: {rule.why}"
