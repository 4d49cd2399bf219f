"""What the control room's worker does beyond Prefect's runner, on a real server."""

import asyncio

from prefect import Flow
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import AwaitingRetry, Cancelled, Cancelling

from flows.worker import Worker

GO_ON = "interrupted after step 53; run the same command again to go on"
STATES = (Cancelling(), Cancelled(message=GO_ON), AwaitingRetry())


def nothing() -> None: ...


def test_a_run_that_ended_by_itself_or_is_retried_is_not_cancelled_again(prefect_url: str) -> None:
    async def ended() -> list[FlowRun]:
        async with Worker() as worker:
            client, proposer = worker._client, worker._scheduled_run_poller._state_proposer
            runs = [await client.create_flow_run(Flow(nothing, name="cancelled")) for _ in STATES]
            for run, state in zip(runs, STATES, strict=True):
                cancelling = run.model_copy(update={"state": Cancelling()})
                await client.set_flow_run_state(run.id, state, force=True)
                assert await proposer.propose_cancelled(cancelling, {"message": "was cancelled"})
            return [await client.read_flow_run(run.id) for run in runs]

    with temporary_settings({PREFECT_API_URL: prefect_url}):
        runs = asyncio.run(ended())
    assert [(run.state.name, run.state.message) for run in runs if run.state] == [
        ("Cancelled", "was cancelled"),
        ("Cancelled", GO_ON),
        ("AwaitingRetry", None),
    ]
