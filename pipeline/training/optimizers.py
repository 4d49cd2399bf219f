"""The optimizers: groups of parameters and their settings, and which moments each keeps of them.

`factor` of a group is its learning rate in relation to the one that the schedule gives; before update number `begins`,
counted from 0, it is left alone.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from pipeline.training.lamb import Lamb
from pipeline.training.muon import MOMENTUM, Muon, turns
from pipeline.training.order import Optimizer
from pipeline.training.parts import Parts
from pipeline.training.stableadamw import StableAdamW

Groups = list[dict[str, Any]]

ADAM = ("exp_avg", "exp_avg_sq")


def make(module: nn.Module, optimizer: Optimizer, parts: Parts | None = None) -> torch.optim.Optimizer:
    """Make the optimizer that the order names, over the module's parameters."""
    groups, kind = OPTIMIZERS[optimizer.name]
    made = [group | {"begins": 0} for group in groups(module, optimizer)]
    if parts is not None:
        made = [smaller for group in made for smaller in _by_part(group, module, parts)]
    return kind([group for group in made if group["params"]])


def _by_part(group: dict[str, Any], module: nn.Module, parts: Parts) -> Iterator[dict[str, Any]]:
    """Divide a group into those of the module's parts."""
    depth_of = {id(one): parts.depth(name) for name, one in module.named_parameters()}
    for depth, (share, begins) in enumerate(zip(parts.shares, parts.begins, strict=True)):
        mine = [one for one in group["params"] if depth_of[id(one)] == depth]
        yield group | {"params": mine, "factor": group["factor"] * share, "begins": begins}


def _two_groups(module: nn.Module, optimizer: Optimizer) -> Groups:
    """Part what decays from biases and norms, which are all the parameters of one dimension, and do not."""
    matrices, vectors = ([one for one in module.parameters() if (one.ndim > 1) is many] for many in (True, False))
    adam = {"moments": ADAM, "factor": 1.0, "lr": optimizer.learning_rate, "eps": optimizer.eps}
    adam |= {"betas": (optimizer.beta1, optimizer.beta2)}
    return [
        {"params": matrices, "weight_decay": optimizer.weight_decay, "scaled": True, **adam},
        {"params": vectors, "weight_decay": 0.0, "scaled": False, **adam},
    ]


def _matrices_apart(module: nn.Module, optimizer: Optimizer) -> Groups:
    """Give the layers' weight matrices a group of their own."""
    matrices = [one for name, one in module.named_parameters() if turns(name, one.shape)]
    apart = {id(one) for one in matrices}
    rest = _two_groups(module, optimizer)
    for group in rest:
        group["params"] = [one for one in group["params"] if id(one) not in apart]
    factor = optimizer.matrix_learning_rate / optimizer.learning_rate
    own = {
        "moments": ("momentum_buffer",),
        "momentum": MOMENTUM,
        "factor": factor,
        "lr": optimizer.matrix_learning_rate,
    }
    return [{"params": matrices, "weight_decay": optimizer.weight_decay, **own}, *rest]


def _adamw(groups: Groups) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, fused=True)


OPTIMIZERS: dict[str, tuple[Callable[[nn.Module, Optimizer], Groups], Callable[[Groups], torch.optim.Optimizer]]] = {
    "adamw": (_two_groups, _adamw),
    "lamb": (_two_groups, Lamb),
    "stableadamw": (_two_groups, StableAdamW),
    "muon": (_matrices_apart, Muon),
}
"""How parameters are grouped, and what updates the groups."""
