"""The only door to DeepSpeed's engine: forward, backward, update, and the whole state in and out at any ZeRO stage.

What DeepSpeed does differently from plain torch is undone here: it divides by ranks and accumulation steps, creates
the optimizer's state late and keeps it in flat pieces.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pipeline.core.errors import ConfigError
from pipeline.training.checkpoint import State
from pipeline.training.combinations import ORDER, Choice, refusals
from pipeline.training.layout import Flat, Layout, Piece, Values
from pipeline.training.optimizers import make
from pipeline.training.order import Optimizer, Precision, Running
from pipeline.training.parts import Parts
from pipeline.training.perparameter import PerParameter
from pipeline.training.ranks import Ranks

SCALER = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")
"""What DeepSpeed's loss scaler of fp16 carries from step to step."""


class Engine:
    """A module, its optimizer and DeepSpeed around both: forward, backward, update, and the whole state in and out."""

    def __init__(
        self,
        module: nn.Module,
        ranks: Ranks,
        optimizer: Optimizer,
        run: Running,
        precision: Precision,
        state: State | None,
        parts: Parts | None = None,
    ) -> None:
        """Start from the module's own weights, or from `state` (given on rank 0, None elsewhere).

        `parts` says which of the module's parts learn slower, or later.

        Raises: ConfigError for settings that do not go together.
        """
        import deepspeed

        check(optimizer, run, precision)
        self.stage, self.ranks, self.clip, self._parts = run.zero_stage, ranks, optimizer.clip, parts
        resumed = ranks.agree(None if state is None else (state.updates, state.loss_scale))
        if resumed:
            _broadcast(module, state, ranks)
        shapes = {name: one.shape for name, one in module.named_parameters()}
        exact = _copies(module) if precision != "float32" else None  # DeepSpeed would start from rounded ones
        self._inner = make(module, optimizer, parts)
        config = _config(module, ranks, optimizer, run, precision)
        self._engine, *_ = deepspeed.initialize(model=module, optimizer=self._inner, config=config)
        self._layout = Layout(shapes, list(self._flats(list(module.parameters()))), ranks, spread=self.stage > 0)
        if isinstance(self._inner, PerParameter):
            self._inner.layout = self._layout
        if exact is not None:
            self._layout.scatter(exact, self._weights())
        self._make_moments(resumed[0] if resumed else 0)
        if resumed:
            self._restore(state, resumed[1])
        self._freeze()

    def train(self, mode: bool) -> None:
        """Switch dropout on or off."""
        self._engine.module.train(mode)

    def forward(self, batch: Any) -> Any:
        """Run the module on one micro-batch."""
        return self._engine(batch)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradients of `loss`, this rank's part of the global sum, to those of this step.

        `last` says that no micro-batch of this step follows. Multiplied by the ranks because DeepSpeed divides by them.
        """
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss * self.ranks.count)

    def update(self, learning_rate: float) -> float:
        """Clip, make the optimizer's update, and return the global gradient norm before clipping."""
        waiting = self._waiting()
        for at, group in enumerate(self._inner.param_groups):
            group["lr"] = 0.0 if at in waiting else learning_rate * group["factor"]
        norm = self._clip_plain() if self.stage == 0 else None
        self._engine.step()
        for flat in self._layout.flats:
            if flat.group in waiting:
                self._inner.state[flat.tensor]["step"].zero_()  # its moments begin when it does
        self._freeze()
        return float(norm if norm is not None else self._engine.get_global_grad_norm())

    def gather(self) -> State | None:
        """Collect the full state on rank 0 (None elsewhere); every rank must call it.

        Its tensors are overwritten by the next call.
        """
        weights = self._layout.gather("weights", self._weights())
        moments = {kind: self._layout.gather(kind, self._moments(kind)) for kind in self._kinds()}
        if weights is None:
            return None
        full = {kind: tensors for kind, tensors in moments.items() if tensors is not None}
        return State(self._updates(), self._loss_scale(), weights, full)

    def close(self) -> None:
        """Take the hooks off the module and let go of the buffers."""
        self._engine.destroy()

    def _clip_plain(self) -> Tensor:
        """Stage 0 runs a plain torch optimizer and keeps the norm to itself."""
        return torch.nn.utils.clip_grad_norm_(self._engine.module.parameters(), self.clip or float("inf"))

    def _waiting(self) -> set[int]:
        """List the groups that the next update leaves alone."""
        if self._parts is None:
            return set()
        made = self._updates()
        return {at for at, group in enumerate(self._inner.param_groups) if group["begins"] > made}

    def _freeze(self) -> None:
        """Have the module compute no gradients of what the next update leaves alone."""
        if self._parts is not None:
            self._engine.module.encoder.frozen = self._parts.frozen(self._updates())

    def _updates(self) -> int:
        groups = self._inner.param_groups
        first = next(flat for flat in self._layout.flats if not groups[flat.group]["begins"])
        return int(self._inner.state[first.tensor]["step"])

    def _weights(self) -> Values:
        """The weights in float32, as the optimizer updates them."""
        return [(flat, flat.tensor) for flat in self._layout.flats]

    def _kinds(self) -> list[str]:
        return sorted({kind for group in self._inner.param_groups for kind in group["moments"]})

    def _moments(self, kind: str) -> Values:
        groups = self._inner.param_groups
        mine = [flat for flat in self._layout.flats if kind in groups[flat.group]["moments"]]
        return [(flat, self._inner.state[flat.tensor][kind]) for flat in mine]

    def _make_moments(self, updates: int) -> None:
        """Create the optimizer's state before its first step, where a checkpoint can be put into it."""
        for flat in self._layout.flats:
            group = self._inner.param_groups[flat.group]
            moments = {kind: torch.zeros_like(flat.tensor, requires_grad=False) for kind in group["moments"]}
            own = max(0, updates - group["begins"])
            self._inner.state[flat.tensor] = {"step": _counter(flat.tensor, self._inner, own), **moments}

    def _restore(self, state: State | None, loss_scale: Mapping[str, float]) -> None:
        for kind in self._kinds():
            self._layout.scatter(None if state is None else state.moments[kind], self._moments(kind))
        scaler = getattr(self._engine.optimizer, "loss_scaler", None)
        for name, value in loss_scale.items():
            setattr(scaler, name, type(getattr(scaler, name))(value))

    def _loss_scale(self) -> dict[str, float]:
        scaler = self._engine.optimizer.loss_scaler if self._engine.fp16_enabled() else None
        return {name: float(getattr(scaler, name)) for name in SCALER if hasattr(scaler, name)}

    def _flats(self, parameters: list[nn.Parameter]) -> Iterator[Flat]:
        """Tell what of which parameter DeepSpeed has put where; 0.19.8."""
        number_of, wrapper = {id(one): number for number, one in enumerate(parameters)}, self._engine.optimizer
        if self.stage == 0:
            for at, group in enumerate(self._inner.param_groups):
                for one in group["params"]:
                    yield Flat(one, at, (Piece(number_of[id(one)], 0, 0, one.numel()),))
        elif self.stage == 3:
            for at, tensor in enumerate(wrapper.fp32_partitioned_groups_flat):
                pieces = [_even_piece(number_of[id(one)], one, wrapper) for one in wrapper.fp16_groups[at]]
                yield Flat(tensor, wrapper.sub_group_to_group_id[at], tuple(pieces))
        else:
            for at, tensor in enumerate(wrapper.single_partition_of_fp32_groups):
                ours = self.ranks.rank * wrapper.partition_size[at]
                begins = wrapper.round_robin_bit16_offsets[at]
                behind = zip(wrapper.round_robin_bit16_groups[at], begins, strict=True)
                yield Flat(
                    tensor,
                    at,
                    tuple(_cut_piece(number_of[id(one)], one, begin - ours, tensor) for one, begin in behind),
                )


def check(optimizer: Optimizer, run: Running, precision: Precision) -> None:
    """Refuse settings that do not go together.

    Raises: ConfigError naming them.
    """
    choice = Choice(optimizer.name, precision, run.zero_stage, run.offload, run.device)
    for reason in refusals(choice, ORDER):
        raise ConfigError(reason)


def _broadcast(module: nn.Module, state: State | None, ranks: Ranks) -> None:
    """Put the weights of rank 0's state into every rank's module."""
    for name, parameter in module.named_parameters():
        full = (torch.empty(parameter.shape) if state is None else state.weights[name]).to(ranks.device)
        if ranks.count > 1:
            dist.broadcast(full, src=0)
        parameter.data.copy_(full)


def _copies(module: nn.Module) -> dict[str, Tensor]:
    return {name: one.detach().to("cpu", torch.float32, copy=True) for name, one in module.named_parameters()}


def _cut_piece(number: int, parameter: nn.Parameter, at: int, flat: Tensor) -> Piece:
    """Cut a parameter that would begin at `at` of a flat tensor, below zero or beyond its end, to what is in it."""
    begin, end = max(0, at), min(flat.numel(), at + parameter.numel())
    return Piece(number, begin - at, begin, end - begin) if begin < end else Piece(number, 0, 0, 0)


def _even_piece(number: int, parameter: Any, wrapper: Any) -> Piece:
    """Find this rank's part of a ZeRO-3 parameter; the last ones end in padding, or are nothing else."""
    _, at, length = wrapper.grad_position[wrapper.get_param_id(parameter)]
    begin = dist.get_rank() * length
    real = min(length, parameter.ds_numel - begin)
    return Piece(number, begin, at, real) if real > 0 else Piece(number, 0, 0, 0)


def _counter(flat: Tensor, inner: torch.optim.Optimizer, updates: int) -> Tensor:
    on_device = inner.defaults.get("fused") or inner.defaults.get("capturable")
    return torch.tensor(float(updates), dtype=torch.float32, device=flat.device if on_device else "cpu")


def _config(
    module: nn.Module, ranks: Ranks, optimizer: Optimizer, run: Running, precision: Precision
) -> dict[str, Any]:
    return {
        # One micro-batch a step as far as DeepSpeed knows: the loop says itself when a step is over.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": optimizer.clip if run.zero_stage else 0.0,
        "zero_optimization": _zero(module, ranks, run),
        "zero_force_ds_cpu_optimizer": False,  # that one would be compiled on first use
        "zero_allow_untested_optimizer": True,  # ours know what a partition is
        "bf16": {"enabled": precision == "bf16"},
        "fp16": {"enabled": precision == "fp16"},
        "steps_per_print": None,
    }


def _zero(module: nn.Module, ranks: Ranks, run: Running) -> dict[str, Any]:
    # The defaults (5e8 elements) would take 2 GB a rank for the smallest model. An odd size is refused.
    elements = sum(parameter.numel() for parameter in module.parameters())
    bucket = min(elements + elements % 2, 1 << 28)
    zero: dict[str, Any] = {
        "stage": run.zero_stage,
        "overlap_comm": ranks.device.type == "cuda",
        "reduce_bucket_size": bucket,
        "allgather_bucket_size": bucket,
    }
    if run.offload != "none":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    if run.offload == "parameters":
        zero["offload_param"] = {"device": "cpu", "pin_memory": True}
    return zero
