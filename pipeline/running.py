"""The root `run` of the config tree: how and where, never what; nothing here is hashed."""

from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.core.section import Section

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class Run(Section):
    """How and where: nothing here changes the data, or the weights beyond summation order and dropout's draws."""

    store: str = "store"
    """The folder that holds every artifact; on a cluster, on a file system that all hosts see."""
    ray_address: str | None = None
    """A Ray cluster to join, as host:port; none starts an embedded Ray on this machine."""
    workers: Count = 2
    """How many items of a data stage run at once."""
    ranks: Count = 2
    """How many processes train together."""
    threads: Count = 1
    """CPU threads of each rank; several pay for one rank alone with short rows, more ranks for long ones."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where ranks compute: gloo on cpu, NCCL on cuda with one GPU a rank."""
    micro_batch: Count = 32
    """Sequences of full length a rank passes through the model at once; larger is faster until memory ends."""
    zero_stage: Annotated[int, Field(ge=0, le=3)] = 2
    """What DeepSpeed spreads over ranks: 0 nothing, 1 moments, 2 gradients too, 3 weights too."""
    offload: Literal["none", "optimizer", "parameters"] = "none"
    """What is kept in host memory instead of the GPU's."""
    attention: Literal["auto", "padded", "varlen"] = "auto"
    """Rows side by side with padding, or one behind another without (CUDA only); auto takes varlen where it runs."""
    compile: bool = False
    """Whether torch.compile makes the model's kernels: minutes at the start, faster steps after."""
    recompute: bool = False
    """Whether activations are computed again in the backward pass: less memory, a third more work."""
    checkpoint_steps: Count = 200
    """Steps between checkpoints: what a killed run can lose."""
    checkpoint_minutes: Positive | None = None
    """Minutes between checkpoints, if these come sooner than `checkpoint_steps`."""
    keep_checkpoints: Count = 2
    """How many checkpoints are kept while training."""
    max_failures: Annotated[int, Field(ge=0)] = 2
    """How often the ranks of a stage are started again by themselves before the stage fails."""
    min_ranks: Count | None = None
    """With how few ranks training goes on when hosts are lost; all of `ranks` are needed unless given."""
    host_wait_minutes: Positive = 5
    """How long lost hosts may stay away before training goes on with what is left, or fails."""
    rank_wait_minutes: Positive = 30
    """How long ranks wait for each other before they are started again from a checkpoint."""
    spike_nats: Positive | None = None
    """A loss this far above the median of the last steps' is a spike: back to the last checkpoint, past its batch."""
    max_rewinds: Annotated[int, Field(ge=0)] = 3
    """How often training goes back for a spike or a loss that is not finite before the stage fails."""
    peak_tflops: Positive | None = None
    """What one device can do at most, in 10^12 operations a second; known for common GPUs."""
    tracking_uri: str | None = None
    """An MLflow server; none keeps the record in a SQLite file in the store."""
    country: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USA"
    """Whose electricity is used, as an ISO 3166 code of three letters: emissions depend on it."""
    grid_g_per_kwh: Positive | None = None
    """The carbon intensity of the electricity used, in g CO2e a kWh; the country's yearly mean unless given."""
    carbon_budget_kg: Positive | None = None
    """What a run and all that it was made from may emit; pretraining makes a checkpoint and pauses before more."""
    max_concurrent_pretrains: Count = 1
    """How many stages with ranks run at once in this store; others wait for their turn."""
    operator: str | None = None
    """Who runs this, for the manifests; nobody is named unless given."""
    fault: Annotated[str, Field(pattern=r"^(|[a-z0-9-]+:\d+)$")] = ""
    """A test aid: `pretrain:20` fails the stage once, after 20 of its steps or pieces; a retry goes through."""

    def training(self) -> dict[str, Any]:
        """Give the settings that a rank needs; see `pipeline.training.order.Running`."""
        names = [
            "micro_batch",
            "zero_stage",
            "offload",
            "checkpoint_steps",
            "keep_checkpoints",
            "device",
            "threads",
            "attention",
            "compile",
            "recompute",
            "spike_nats",
            "max_rewinds",
        ]
        minutes = self.checkpoint_minutes
        return {name: getattr(self, name) for name in names} | {"checkpoint_seconds": minutes and 60 * minutes}
