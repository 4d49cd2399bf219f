"""A tiny order on made-up examples, and real ranks: processes that join over gloo, forked from one that has imported."""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.core.arrow import write_table
from pipeline.core.files import sha256_of
from pipeline.model.shape import Shape
from pipeline.tables import Next, examples_schema
from pipeline.training.order import Masking, Optimizer, Order, Phase, Running, Schedule
from tests.processes import PATIENCE_SECONDS, free_port
from tests.training import one_rank
from tests.training.one_rank import Death, Place, Trial

VOCABULARY, LONGEST, SPECIAL = 99, 24, (0, 1, 2, 3, 4)
GRACE_SECONDS = 30
"""For ranks to end after one that ended badly: one that is in a step of a busy machine still may tell why."""


def write_examples(path: Path, rows: int, seed: int) -> str:
    """Write examples with something to learn: a row alternates between two tokens, and low ones mean NEXT."""
    draw = np.random.default_rng(seed)
    table = []
    for _ in range(rows):
        length = int(draw.integers(8, LONGEST + 1)) if draw.random() < 0.4 else LONGEST
        second_at = int(draw.integers(3, length - 2))
        pair = int(draw.integers(VOCABULARY // 2 - 3))
        ids = 5 + 2 * pair + np.arange(length) % 2
        ids[[0, second_at - 1, length - 1]] = (2, 3, 3)
        label = Next.NONE if draw.random() < 0.1 else (Next.NEXT if pair < 20 else Next.RANDOM)
        table.append({"ids": ids, "second_at": second_at, "label": int(label), "shard": 0, "rows": [0]})
    schema = examples_schema(VOCABULARY, static_masks=False)
    write_table(path, pa.Table.from_pylist(table, schema=schema), codec=None)
    return str(path)


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("examples")
    sizes = {"one": 41, "two": 30, "held_out": 17}
    return {name: write_examples(folder / f"{name}.arrow", rows, at) for at, (name, rows) in enumerate(sizes.items())}


@pytest.fixture
def order(examples: dict[str, str], tmp_path: Path) -> Order:
    """Eight steps in two phases, with dropout; a checkpoint every second step."""
    files = (examples["one"], examples["two"])
    return Order(
        job="pretrain",
        out=str(tmp_path / "out"),
        work=str(tmp_path / "work"),
        seed=11,
        shape=Shape(2, 32, 2, VOCABULARY, LONGEST, dropout=0.1),
        optimizer=Optimizer(learning_rate=5e-3),
        schedule=Schedule(warmup_steps=2),
        objectives=("mlm", "nsp"),
        masking=Masking("dynamic", "token", rate=0.15, mask_id=4, special_ids=SPECIAL),
        phases=(
            Phase(files, (examples["held_out"],), LONGEST, steps=5, global_batch=16),
            Phase(files, (examples["held_out"],), LONGEST, steps=3, global_batch=12),
        ),
        evaluate_every=4,
        run=Running(micro_batch=4, zero_stage=2, checkpoint_steps=2),
    )


def moved(order: Order, folder: Path, **run: Any) -> Order:
    """Return the same order for another folder, with other settings of how to run it."""
    return replace(order, out=str(folder / "out"), work=str(folder / "work"), run=replace(order.run, **run))


@dataclass(frozen=True)
class Ended:
    """How a launch ended."""

    exit_codes: list[int | None]
    log: str

    def well(self) -> bool:
        """Tell whether all ranks ended well; if not, why is the message of the failed test."""
        assert not any(self.exit_codes), self.log or self.exit_codes
        return True


Launch = Callable[..., Ended]
Undisturbed = Callable[..., Order]


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServerContext]:
    """A process that has imported everything and made nothing (`warm`): ranks are forked from it at no cost."""
    context = multiprocessing.get_context("forkserver")
    patch = pytest.MonkeyPatch()
    patch.setenv("DS_ACCELERATOR", "cpu")
    patch.setenv("OMP_NUM_THREADS", "1")
    context.set_forkserver_preload(["tests.training.warm"])
    yield context
    patch.undo()


@pytest.fixture(scope="session")
def launch(forks: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """Run an order on real ranks until they end; `death` names the call in which they are killed.

    What `trials` do happens in every rank before it trains. Steps wait for the writer of checkpoints, so that it is
    known what a killed run finds, unless it may write `beside` them as it does in earnest.
    """

    def launch(
        order: Order, ranks: int = 1, death: Death | None = None, *, trials: Sequence[Trial] = (), beside: bool = False
    ) -> Ended:
        folder, port = tmp_path_factory.mktemp("launch"), free_port()
        logs = [folder / f"rank-{rank}.log" for rank in range(ranks)]
        order.write(folder / "order.json")
        places = [Place(rank, ranks, port, log) for rank, log in enumerate(logs)]
        trials = [
            *trials,
            *([] if beside else [one_rank.wait_for_the_writer]),
            *([] if death is None else [partial(one_rank.die_in, death)]),
        ]
        processes = [
            forks.Process(target=one_rank.run, args=(folder / "order.json", place, trials)) for place in places
        ]
        for process in processes:
            process.start()
        _wait_for_all(processes)
        return Ended(
            [process.exitcode for process in processes], "".join(log.read_text() for log in logs if log.exists())
        )

    return launch


@pytest.fixture(scope="session")
def undisturbed(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Run an order in a folder of its own without any death, once for all tests that ask for the same."""
    runs: dict[tuple[Order, int], Order] = {}

    def undisturbed(order: Order, ranks: int = 1, **run: Any) -> Order:
        asked = moved(order, Path(), **run), ranks
        if asked not in runs:
            alone = moved(order, tmp_path_factory.mktemp("undisturbed"), **run)
            assert launch(alone, ranks).well()
            runs[asked] = alone
        return runs[asked]

    return undisturbed


def _wait_for_all(processes: Sequence[ForkServerProcess]) -> None:
    """Wait until ranks end; as a launcher would, give the others not long when one ended badly."""
    patience = time.monotonic() + PATIENCE_SECONDS
    while any(process.is_alive() for process in processes) and time.monotonic() < patience:
        wait([process.sentinel for process in processes if process.is_alive()], timeout=0.5)
        if any(process.exitcode for process in processes):
            patience = min(patience, time.monotonic() + GRACE_SECONDS)
    for process in processes:
        process.kill()
        process.join()


def lines_of(order: Order) -> list[dict[str, Any]]:
    """Read the curve journal."""
    return [json.loads(line) for line in (Path(order.work) / "curve.jsonl").read_text().splitlines()]


def curve(order: Order, name: str = "loss") -> list[float]:
    """Read one column of the step lines."""
    return [line[name] for line in lines_of(order) if "loss" in line]


def digests(order: Order) -> dict[str, str]:
    """Give the digest of every file that a finished order leaves."""
    return {path.name: sha256_of(path) for path in sorted(Path(order.out).iterdir())}


def without_dropout(order: Order) -> Order:
    """Return the same order for a model whose steps hang on nothing but the batch."""
    return replace(order, shape=replace(order.shape, dropout=0.0))
