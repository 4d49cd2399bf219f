"""The only door to DeepSpeed: ranks, the ZeRO engine, and its state in and out, whatever the stage.

What DeepSpeed does differently from plain torch is undone here: it divides by ranks and accumulation steps, builds
C++ operators on first use, creates the optimizer's state late and keeps it in flat pieces.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pipeline.core.errors import ConfigError
from pipeline.training.checkpoint import State
from pipeline.training.order import Optimizer, Precision, Running

_MOMENTS = ("exp_avg", "exp_avg_sq")
_WAIT = timedelta(minutes=30)
"""For ranks that wait while another one works alone, e.g. writes a checkpoint."""


@dataclass(frozen=True)
class Ranks:
    """One process among all that train together."""

    rank: int
    count: int
    device: torch.device

    def sum(self, values: list[float]) -> list[float]:
        """Add up one list of numbers over all ranks, in double precision and in the same order everywhere."""
        if self.count == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def agree(self, value: Any) -> Any:
        """Return rank 0's value on every rank."""
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]


def join(device: Literal["cpu", "cuda"]) -> Ranks:
    """Join the process group that the environment describes, or one of this process alone.

    Works where the group exists already (Ray Train), under torchrun, and by hand.
    """
    os.environ["DS_ACCELERATOR"] = device  # read when deepspeed is first imported
    os.environ.setdefault("LOCAL_RANK", "0")
    place = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if device == "cuda" else torch.device("cpu")
    if device == "cuda":
        torch.cuda.set_device(place)
    else:
        torch.set_num_threads(1)  # several are slower on busy machines, and change the order of summation
    if not dist.is_initialized():
        _start_group("nccl" if device == "cuda" else "gloo")
    _start_deepspeed()
    return Ranks(dist.get_rank(), dist.get_world_size(), place)


def starts_here() -> bool:
    """Tell whether `join` will have to start the process group, and `leave` is ours to call."""
    return not dist.is_initialized()


def leave() -> None:
    """Leave the process group."""
    import deepspeed.comm

    if deepspeed.comm.is_initialized():
        deepspeed.comm.destroy_process_group()
        deepspeed.comm.comm.cdb = None  # it would go on using the group that is gone


def _start_group(backend: str) -> None:
    if "RANK" in os.environ:
        dist.init_process_group(backend, timeout=_WAIT)
    else:
        store = dist.HashStore()  # type: ignore[attr-defined]  # exported, but missing from the type stubs
        dist.init_process_group(backend, store=store, rank=0, world_size=1)


def _start_deepspeed() -> None:
    import deepspeed
    import deepspeed.ops

    # Without this, the first start on a CPU compiles a shared-memory all-reduce for a minute or two. It needs a
    # compiler, and a build that is killed leaves a lock that hangs every later start (DeepSpeedExamples 302).
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.utils.logger.setLevel(logging.ERROR)
    # DeepSpeed 0.19 calls both of these, deprecated in torch 2.13, on every step.
    warnings.filterwarnings("ignore", message=".*(reduce_scatter|all_gather_into)_tensor", category=FutureWarning)
    deepspeed.init_distributed(dist_backend=dist.get_backend(), verbose=False)


class Engine:
    """A module, its AdamW and DeepSpeed around both: forward, backward, update, and the whole state in and out."""

    def __init__(
        self,
        module: nn.Module,
        ranks: Ranks,
        optimizer: Optimizer,
        run: Running,
        precision: Precision,
        state: State | None,
    ) -> None:
        """Start from the module's own weights, or from `state` (given on rank 0, None elsewhere; see `restored`).

        Raises: ConfigError for settings that DeepSpeed cannot combine.
        """
        import deepspeed

        check(run, precision)
        self.stage, self.ranks, self.clip = run.zero_stage, ranks, optimizer.clip
        state = _share(module, state, ranks)
        self._engine, *_ = deepspeed.initialize(
            model=module,
            optimizer=_adamw(module, optimizer, run, ranks.device),
            config=_config(module, ranks, optimizer, run, precision),
        )
        self._inner: torch.optim.Optimizer = self._engine.optimizer.optimizer if self.stage else self._engine.optimizer
        self._make_moments(0 if state is None else state.updates)
        if state is not None:
            self._scatter(state)

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
        for group in self._inner.param_groups:
            group["lr"] = learning_rate
        norm = self._clip_plain() if self.stage == 0 else None
        self._engine.step()
        return float(norm if norm is not None else self._engine.get_global_grad_norm())

    def gather(self) -> State | None:
        """Collect the full state on rank 0 (None elsewhere); every rank must call it."""
        weights: dict[str, Tensor] = {}
        moments: dict[str, dict[str, Tensor]] = {key: {} for key in _MOMENTS}
        for name, parameter in self._engine.module.named_parameters():
            for key, kind in [(None, weights), *moments.items()]:
                full = self._full(parameter, key)
                if self.ranks.rank == 0:
                    kind[name] = full.detach().to("cpu", torch.float32, copy=True).contiguous()
        return State(self._updates(), self._loss_scale(), weights, moments) if self.ranks.rank == 0 else None

    def close(self) -> None:
        """Take the hooks off the module and let go of the buffers."""
        self._engine.destroy()

    def _clip_plain(self) -> Tensor:
        """Stage 0 runs a plain torch optimizer and keeps the norm to itself."""
        return torch.nn.utils.clip_grad_norm_(self._engine.module.parameters(), self.clip or float("inf"))

    def _updates(self) -> int:
        return int(next(iter(self._inner.state.values()))["step"])

    def _full(self, parameter: nn.Parameter, key: str | None) -> Tensor:
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        if self.stage == 0:
            return parameter if key is None else self._inner.state[parameter][key]
        full = safe_get_full_fp32_param(parameter) if key is None else safe_get_full_optimizer_state(parameter, key)
        assert isinstance(full, Tensor)
        return full

    def _make_moments(self, updates: int) -> None:
        """Create the optimizer's state before its first step, where a checkpoint can be put into it.

        Left alone, DeepSpeed 0.19 links names to state after the first group's first step, when that of the other
        groups does not exist, and never again: their moments could not be read.
        """
        for flat in self._pieces():
            moments = {key: torch.zeros_like(flat) for key in _MOMENTS}
            self._inner.state[flat] = {"step": _counter(flat, self._inner, updates), **moments}
        if self.stage in (1, 2):
            self._engine.optimizer._lazy_init_hp_params_optimizer_state()

    def _scatter(self, state: State) -> None:
        for name, parameter in self._engine.module.named_parameters():
            self._place(parameter, state.weights[name], None)
            for key, tensors in state.moments.items():
                self._place(parameter, tensors[name], key)
        scaler = getattr(self._engine.optimizer, "loss_scaler", None)
        for name, value in state.loss_scale.items():
            setattr(scaler, name, type(getattr(scaler, name))(value))

    def _pieces(self) -> Iterator[Tensor]:
        """Yield the tensors that the inner optimizer updates on this rank."""
        wrapper = self._engine.optimizer
        if self.stage == 0:
            yield from self._engine.module.parameters()
        else:
            yield from (
                wrapper.fp32_partitioned_groups_flat if self.stage == 3 else wrapper.single_partition_of_fp32_groups
            )

    def _place(self, parameter: nn.Parameter, full: Tensor, key: str | None) -> None:
        from deepspeed import utils

        full = full.to(self.ranks.device)
        if self.stage == 0:
            if key is not None:
                self._inner.state[parameter][key].copy_(full)
        elif self.stage == 3:
            part = _padded_part(parameter, full)
            if key is None:
                utils.safe_set_local_fp32_param(parameter, part)
            else:
                utils.safe_set_local_optimizer_state(parameter, part, key)
        elif key is None:
            utils.safe_set_full_fp32_param(parameter, full)
        else:
            utils.safe_set_full_optimizer_state(parameter, full, key)

    def _loss_scale(self) -> dict[str, float]:
        scaler = getattr(self._engine.optimizer, "loss_scaler", None)
        names = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")
        return {name: float(getattr(scaler, name)) for name in names if hasattr(scaler, name)} if self._half() else {}

    def _half(self) -> bool:
        return bool(self._engine.fp16_enabled())


def check(run: Running, precision: Precision) -> None:
    """Refuse settings that DeepSpeed cannot combine.

    Raises: ConfigError naming the setting.
    """
    if run.zero_stage == 0 and precision != "float32":
        raise ConfigError(f"order.precision={precision} with order.run.zero_stage=0: use zero_stage 1, 2 or 3")
    if run.offload == "optimizer" and run.zero_stage == 0:
        raise ConfigError("order.run.offload=optimizer needs order.run.zero_stage 1, 2 or 3")
    if run.offload == "parameters" and run.zero_stage != 3:
        raise ConfigError(f"order.run.offload=parameters needs order.run.zero_stage=3, not {run.zero_stage}")


def _share(module: nn.Module, state: State | None, ranks: Ranks) -> State | None:
    """Give every rank the state of rank 0 and put its weights into the module."""
    outline = ranks.agree(None if state is None else (state.updates, state.loss_scale))
    if outline is None:
        return None
    weights: dict[str, Tensor] = {}
    moments: dict[str, dict[str, Tensor]] = {key: {} for key in _MOMENTS}
    for name, parameter in module.named_parameters():
        for key, kind in [(None, weights), *moments.items()]:
            given = state and (state.weights if key is None else state.moments[key])
            kind[name] = _broadcast(given[name] if given else torch.empty(parameter.shape), ranks)
        parameter.data.copy_(weights[name])
    return State(outline[0], outline[1], weights, moments)


def _broadcast(full: Tensor, ranks: Ranks) -> Tensor:
    if ranks.count == 1:
        return full
    moved = full.to(ranks.device)
    dist.broadcast(moved, src=0)
    return moved.cpu()


def _padded_part(parameter: Any, full: Tensor) -> Tensor:
    """Cut this rank's part of a ZeRO-3 parameter; DeepSpeed's own setter fails where the parts need padding."""
    numel = parameter.ds_tensor.numel()
    whole = torch.zeros(numel * dist.get_world_size(), dtype=full.dtype, device=full.device)
    whole[: full.numel()] = full.flatten()
    return whole.narrow(0, numel * dist.get_rank(), numel)


def _counter(flat: Tensor, inner: torch.optim.Optimizer, updates: int) -> Tensor:
    on_device = inner.defaults["fused"] or inner.defaults["capturable"]
    return torch.tensor(float(updates), dtype=torch.float32, device=flat.device if on_device else "cpu")


def _adamw(module: nn.Module, optimizer: Optimizer, run: Running, device: torch.device) -> torch.optim.AdamW:
    """Make AdamW without weight decay on biases and LayerNorm, which are all the parameters of one dimension."""
    named = list(module.parameters())
    return torch.optim.AdamW(
        [
            {"params": [one for one in named if one.ndim > 1], "weight_decay": optimizer.weight_decay},
            {"params": [one for one in named if one.ndim < 2], "weight_decay": 0.0},
        ],
        lr=optimizer.learning_rate,
        betas=(optimizer.beta1, optimizer.beta2),
        eps=optimizer.eps,
        fused=True,
    )


def _config(
    module: nn.Module, ranks: Ranks, optimizer: Optimizer, run: Running, precision: Precision
) -> dict[str, Any]:
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
    return {
        # One micro-batch a step as far as DeepSpeed knows: the loop says itself when a step is over.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": optimizer.clip if run.zero_stage else 0.0,
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,  # that one would be compiled on first use
        "bf16": {"enabled": precision == "bf16"},
        "fp16": {"enabled": precision == "fp16"},
        "steps_per_print": None,
    }
