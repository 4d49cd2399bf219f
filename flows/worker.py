"""The worker of `pretrace up`: registers the deployments, starts their runs and clears up after killed ones.

Run as `python -m flows.worker READY`; the file READY is written when it has registered all.
"""

import asyncio
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.runner import Runner
from prefect.states import Failed

from flows.deploy import WORKER, deployments, mistake_in
from flows.sweeping import sweep_forever
from pipeline.core.files import write_json

POLL_SECONDS = 2.0


class Worker(Runner):
    """Prefect's runner, which ends its runs as somebody who cancels them: with a checkpoint, and to be retried."""

    def __init__(self) -> None:
        super().__init__(name="pretrace", query_seconds=POLL_SECONDS, pause_on_shutdown=False)
        self.offered: dict[UUID | None, str] = {}

    def offer(self) -> None:
        """Register the deployments."""
        for deployment in deployments():
            registered = self.add_deployment(deployment)
            assert isinstance(registered, UUID)  # a coroutine only where a loop runs already
            self.offered[registered] = deployment.name

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        """End all runs and then itself; Prefect's own way leaves the runs without a last word."""
        self.execute_in_background(self.astop)

    async def __aenter__(self) -> Self:
        """Check what was filled in before a process is started for it, and leave a run alone that ended by itself.

        The flow would check it as well, but an unknown name of a parameter crashes Prefect 3.8 before. And a second or two after
        a cancelled run's own last state Prefect writes another `Cancelled`: over a Retry that was pressed meanwhile.
        """
        await super().__aenter__()
        proposer = self._scheduled_run_poller._state_proposer
        propose, cancel = proposer.propose_pending, proposer.propose_cancelled

        async def checked(run: FlowRun) -> bool:
            mistake = mistake_in(self.offered.get(run.deployment_id), run.parameters)
            if mistake is None:
                return await propose(run)
            await self._client.set_flow_run_state(run.id, Failed(message=mistake), force=True)
            return False

        async def kept(run: FlowRun, updates: dict[str, Any] | None = None) -> bool:
            state = (await self._client.read_flow_run(run.id)).state
            if state is not None and (state.is_final() or state.is_scheduled()):
                return True
            return await cancel(run, updates)

        proposer.propose_pending = checked  # type: ignore[method-assign, assignment]
        proposer.propose_cancelled = kept  # type: ignore[method-assign, assignment]
        return self


def serve(ready: Path) -> None:
    """Serve the deployments until SIGTERM."""
    os.environ[WORKER] = str(os.getpid())
    since = datetime.now(UTC)
    worker = Worker()
    worker.offer()
    over = threading.Event()
    threading.Thread(target=sweep_forever, args=(since, over), name="sweeper", daemon=True).start()
    write_json(ready, os.getpid())
    asyncio.run(worker.start())
    over.set()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
