"""Ray Train without the processes that a group of a fixed size does not need. Only the gang's own actor imports this.

As it comes, ray 2.60 starts six more processes a group, each of which imports Ray Train and most torch: the controller,
an autoscaling coordinator and a manager of data sets (of Ray Data), a placement group cleaner (which warns every second
where there is no dashboard), a preemption watcher, and one through which ranks report together, which ours do not do.
That is more than 20 CPU seconds and 700 MB before the first rank starts. Torch is imported by the ranks alone: another
3 CPU seconds, since they make its process group with functions that they are sent.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.train import Result
from ray.train._internal.utils import get_address_and_port
from ray.train.backend import Backend as AnyBackend
from ray.train.backend import BackendConfig
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group import state, worker_group
from ray.train.v2._internal.execution.worker_group.placement_group_handle import DefaultPlacementGroupHandle
from ray.train.v2._internal.execution.worker_group.worker_group import WorkerGroup
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.placement_group import placement_group

from cluster.network import OnOwnDevice, Way, meet, part

UNUSED = (PlacementGroupCleanerCallback, DatasetsCallback)
"""What starts a process each."""
PART_SECONDS = 5.0  # ranks that wait for a dead one do not come in 30, either


class Backend(AnyBackend):
    """Process groups of torch over the right interface."""

    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Have all ranks meet."""
        address, port = worker_group.execute_single(0, get_address_and_port)
        worker_group.execute(meet, Way(address, port, backend_config.name, backend_config.wait_seconds))

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        """Have them part."""
        with suppress(ray.exceptions.GetTimeoutError):
            ray.get(worker_group.execute_async(part), timeout=PART_SECONDS)


@dataclass
class Torch(BackendConfig):
    """Settings of such process groups: their kind, `gloo` or `nccl`, and how long ranks wait for each other."""

    name: str
    wait_seconds: int

    @property
    def backend_cls(self) -> type[Backend]:
        """Name what is done with them."""
        return Backend

    @property
    def train_func_context(self) -> type[OnOwnDevice]:
        """Name what surrounds the function of a rank."""
        return OnOwnDevice


class FixedSize(FixedScalingPolicy):
    """A group of a fixed size that asks nobody for hosts: its placement group already does."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Start no coordinator."""

    def _maybe_send_resource_request(self) -> None:
        """Send nothing."""


class Nobody:
    """Stands where Ray Train has an actor through which ranks report together."""

    @classmethod
    def options(cls, **_: Any) -> type["Nobody"]:
        """Need nothing."""
        return cls

    @classmethod
    def remote(cls, **_: Any) -> str:
        """Start nothing; what is there must have a name."""
        return "nobody"


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


class Trainer(DataParallelTrainer):
    """A trainer whose controller runs in the process that calls `fit`, an actor."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()
        return [callback for callback in callbacks if not isinstance(callback, UNUSED)]

    def _initialize_and_run_controller(self, **parts: Any) -> Result:
        policy = FixedSize(self.scaling_config)  # type: ignore[arg-type]  # V2 inherits V1's signature
        controller = Controller(**{**parts, "scaling_policy": policy})
        asyncio.run(controller.run())  # type: ignore[no-untyped-call]
        return controller.get_result()


def _end_nobody(nobody: str) -> None:
    """End nothing."""


worker_group.SynchronizationActor = Nobody  # type: ignore[assignment,attr-defined]
state._shutdown_sync_actor = _end_nobody  # type: ignore[assignment]
