"""Ray Train without the processes that a group of a fixed size does not need. Only the gang's own actor imports this.

As it comes, ray 2.60 starts four more processes a group, each of which imports Ray Train and most torch: the controller,
an autoscaling coordinator (of Ray Data), a placement group cleaner (which warns every second where there is no
dashboard) and a preemption watcher. That is 15 CPU seconds and 450 MB before the first rank starts.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from ray.train import Result
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group.placement_group_handle import DefaultPlacementGroupHandle
from ray.train.v2._internal.execution.worker_group.worker_group import WorkerGroup
from ray.train.v2.torch.torch_trainer import TorchTrainer
from ray.util.placement_group import placement_group

from cluster.network import prepare


class Backend(_TorchBackend):
    """Process groups of torch over the right interface."""

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Prepare every rank, then have them meet."""
        worker_group.execute(prepare, backend_config.timeout_s)
        super().on_start(worker_group, backend_config)


@dataclass
class Torch(TorchConfig):
    """Settings of such process groups."""

    @property
    def backend_cls(self) -> type[Backend]:
        """Name what is done with them."""
        return Backend


class FixedSize(FixedScalingPolicy):
    """A group of a fixed size that asks nobody for hosts: its placement group already does."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Start no coordinator."""

    def _maybe_send_resource_request(self) -> None:
        """Send nothing."""


class NamedGroup(WorkerGroup):
    """Ranks whose placement group bears the run's name, so that the driver can remove it when their leader is gone.

    Ray keeps one made by a dead actor until the driver ends, and the next group waits for its CPUs in vain.
    """

    def _create_placement_group(self, scaling_config: Any, worker_group_context: Any) -> DefaultPlacementGroupHandle:
        bundles = [worker_group_context.resources_per_worker] * worker_group_context.num_workers
        name = self._train_run_context.run_config.name
        strategy = worker_group_context.placement_strategy
        return DefaultPlacementGroupHandle(placement_group(bundles, strategy=strategy, name=name))


class Controller(TrainController):
    """A controller of such groups."""

    worker_group_cls = NamedGroup


class Trainer(TorchTrainer):
    """A TorchTrainer whose controller runs in the process that calls `fit`, an actor."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()
        return [callback for callback in callbacks if not isinstance(callback, PlacementGroupCleanerCallback)]

    def _initialize_and_run_controller(self, **parts: Any) -> Result:
        policy = FixedSize(self.scaling_config)  # type: ignore[arg-type]  # V2 inherits V1's signature
        controller = Controller(**{**parts, "scaling_policy": policy})
        asyncio.run(controller.run())  # type: ignore[no-untyped-call]
        return controller.get_result()
