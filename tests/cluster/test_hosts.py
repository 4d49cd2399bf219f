"""Two hosts, disturbed in every way: one loses its Ray, its ranks, its network for a while, and then its network for good.

They are network namespaces of this machine. One driver maps, prepares data and pretrains on both; the same recipe made
on one host by one rank, undisturbed, says what has to come out.
"""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.numpy import load_file

from cluster.embedded import ROOT
from flows.planning import plan_in
from pipeline.config import load
from pipeline.core.stage import Step
from pipeline.core.store import WORK, Artifact, Store
from pipeline.outside import locate
from tests.cluster.hosts import PATIENT_RAY, Host, ip, network, why_not
from tests.cluster.journey import ITEMS, LOSE_PATIENCE
from tests.processes import kill_tree, until

NEWS = "package:gensim/test/test_data/lee_background.cor"
ARTICLES, STEPS, CHECKPOINT_STEPS = 240, 200, 5
HEAD, HEAD_PORT = "10.77.0.1", 6379
START_SECONDS, STEP_SECONDS, ALL_SECONDS = 900, 900, 1200
"""Limits for a machine with a lot else to do; on a quiet one all of it takes some minutes."""
CUT_SECONDS = 30
PATIENCE_SECONDS = 300
"""How long the driver waits for a host: a cut host's Ray finds out that it was given up, ends, and is started again."""
RANKS, RAYLET = "RayTrainWorker", "raylet/raylet"
NOTICE = {  # a host that does not answer is given up after 20 s; Ray's defaults make that about 80 s
    "RAY_health_check_initial_delay_ms": "5000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "5",
}
AGAIN = 'while :; do "$@"; sleep 1; done'
"""What a host's supervisor does: Ray is started again whenever it ended."""
NEAR = 1e-5

pytestmark = [pytest.mark.multihost, pytest.mark.slow, pytest.mark.timeout(3600)]


@dataclass(frozen=True)
class Driver:
    """A driver on the first host, and what can be seen of its work from outside."""

    folder: Path
    config: Path
    log: Path
    process: subprocess.Popen[bytes]

    def steps(self) -> list[Step]:
        return plan_in(Store(self.folder / "store"), load([self.config]).recipe)

    def work(self) -> Path:
        return Store(self.folder / "store").folder(self.steps()[-1]) / WORK

    def checkpoint(self) -> int:
        """Give the step of the newest checkpoint."""
        found = self.work().glob("checkpoints/step-*/checkpoint.json")
        return max((int(note.parent.name.removeprefix("step-")) for note in found), default=0)

    def attempts(self) -> list[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in (self.work() / "attempts.jsonl").read_text().splitlines()]
        return []

    def pieces(self) -> dict[str, int]:
        """Give the inodes of the map's finished pieces."""
        notes = (self.folder / "pieces").glob("*/piece.json")
        return {note.parent.name: note.stat().st_ino for note in notes}

    def is_working(self, host: Host) -> bool:
        """Tell whether an item of the map that is not finished was begun on a host."""
        begun = (note.name.split(".") for note in (self.folder / "notes").iterdir())
        here, finished = {process.pid for process in host.processes("ray::")}, self.pieces()
        return any(int(pid) in here and item not in finished for item, pid, _ in begun)

    def until(self, true: Any, what: str, seconds: float) -> None:
        """Wait for something while the driver lives."""

        def so() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return bool(true())

        until(so, what, seconds)


@dataclass(frozen=True)
class Journey:
    """What was seen on the way."""

    folder: Path
    steps: list[Step]
    log: str
    killed_ranks: int
    pieces_before: dict[str, int]
    pieces_after: dict[str, int]
    attempts: list[dict[str, Any]]
    attempts_before_removal: int
    raylets_left_on_removed: int


@dataclass(frozen=True)
class Alone:
    """The way without a cluster."""

    folder: Path
    log: Path
    process: subprocess.Popen[bytes]

    def end(self) -> Path:
        assert self.process.wait(ALL_SECONDS) == 0, self.log.read_text()
        return self.folder


def write_config(folder: Path) -> Path:
    """Write a recipe over some news in four files."""
    news = locate(NEWS)
    if not news.is_file():
        pytest.skip("the sample files are not installed: pip install 'pretrace[sample]'")
    articles, texts = news.read_text(encoding="utf-8").split("\n")[:ARTICLES], folder / "texts"
    texts.mkdir()
    for at in range(4):
        (texts / f"{at}.txt").write_text("\n\n".join(articles[at::4]) + "\n", encoding="utf-8")
    recipe = {
        "name": "hosts",
        "corpus": {"shards": 4, "sources": [{"kind": "text", "path": str(texts)}]},
        "tokenizer": {"vocab_size": 2000},
        "examples": {"held_out_fraction": 0.05},
        "model": {"size": "tiny", "layers": 2, "width": 64, "max_positions": 64, "dropout": 0.0},
        "phases": [{"sequence_length": 64, "steps": STEPS, "global_batch": 32}],
        "pretrain": {"learning_rate": 0.001, "warmup_steps": 10, "evaluate_every": STEPS // 2},
    }
    running = {"workers": 2, "ranks": 2, "min_ranks": 1, "zero_stage": 2, "micro_batch": 8, "max_failures": 8}
    run = {
        **running,
        "checkpoint_steps": CHECKPOINT_STEPS,
        "ray_address": f"{HEAD}:{HEAD_PORT}",
        "host_wait_minutes": 0.75,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"recipe": recipe, "run": run}), encoding="utf-8")
    return folder / "recipe.yaml"


def ray_on(host: Host, env: dict[str, str], folder: Path) -> None:
    """Start a supervised Ray on a host and wait until it is up."""
    place = ["--head", f"--port={HEAD_PORT}", "--include-dashboard=false"]
    place = place if host.address == HEAD else [f"--address={HEAD}:{HEAD_PORT}"]
    small = ["--num-cpus=1", "--object-store-memory=100000000", f"--temp-dir={folder / host.name}"]
    command = [*PATIENT_RAY, "start", "--block", f"--node-ip-address={host.address}", *place, *small]
    log = folder / f"{host.name}.log"
    host.start(["sh", "-c", AGAIN, "sh", *command], env, log)
    until(lambda: "Ray runtime started" in log.read_text(), f"Ray on {host.name}", START_SECONDS, why=log.read_text)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for all hosts; not deep, since Ray's unix sockets lie in it."""
    if reason := why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="pretrace-hosts-", dir="/tmp", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture(scope="module")
def config(folder: Path) -> Path:
    return write_config(folder)


@pytest.fixture(scope="module")
def alone(folder: Path, config: Path) -> Iterator[Alone]:
    """The recipe made on one host by one rank, undisturbed: begun before the hosts start Ray, which takes as long."""
    place, log = folder / "alone", folder / "alone.log"
    with log.open("wb") as out, subprocess.Popen(journey_of("alone", config, place), stdout=out, stderr=out) as process:
        yield Alone(place, log, process)
        kill_tree(process)


@pytest.fixture(scope="module")
def journey(folder: Path, config: Path, alone: Alone) -> Journey:
    """One driver's way through all disturbances."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    env = {**os.environ, **token, **NOTICE, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    place, log = folder / "far", folder / "far.log"
    with network("h1", "h2") as (first, second):
        ray_on(first, env, folder)
        ray_on(second, env, folder)
        command = journey_of("far", config, place, str(PATIENCE_SECONDS))
        driver = Driver(place, config, log, first.start(command, env, log))
        return disturb(driver, second)


def journey_of(way: str, config: Path, folder: Path, patience: str = "0") -> list[str]:
    folder.mkdir()
    return [sys.executable, "-m", "tests.cluster.journey", way, str(config), str(folder), patience]


def disturb(driver: Driver, host: Host) -> Journey:
    """Disturb one host in every way and see the driver through."""
    driver.until(lambda: len(driver.pieces()) >= ITEMS // 2, "half of the map", START_SECONDS)
    driver.until(lambda: driver.is_working(host), "an item of the map on the second host", START_SECONDS)
    before = driver.pieces()
    host.kill("ray::", "raylet")
    driver.until(lambda: driver.checkpoint() >= STEPS // 5, "training on both hosts", ALL_SECONDS)
    pieces = driver.pieces()
    killed = host.kill(RANKS)
    driver.until(lambda: driver.checkpoint() >= STEPS * 2 // 5, "training after ranks were killed", STEP_SECONDS)
    host.cut()
    time.sleep(CUT_SECONDS)
    host.mend()
    driver.until(lambda: driver.checkpoint() >= STEPS * 3 // 5, "training after the network was away", STEP_SECONDS)
    driver.process.send_signal(LOSE_PATIENCE)
    host.cut()
    tried = len(driver.attempts())
    until(lambda: not host.processes(RANKS), "the end of the ranks that were cut off", STEP_SECONDS)
    left = len(host.processes(RAYLET))
    driver.until(lambda: len(driver.attempts()) > tried, "training on what is left", STEP_SECONDS)
    attempts = driver.attempts()
    assert driver.process.wait(ALL_SECONDS) == 0, driver.log.read_text()
    return Journey(driver.folder, driver.steps(), driver.log.read_text(), killed, before, pieces, attempts, tried, left)


def test_both_hosts_made_pieces_of_the_map_and_of_the_data(journey: Journey) -> None:
    told = [line for line in journey.log.splitlines() if ": made " in line]
    by_both = [line for line in told if "on 10.77.0.1" in line and "on 10.77.0.2" in line]
    assert "square" in by_both[0]
    assert len(by_both) > 1


def test_a_host_that_dies_in_the_middle_of_a_map_loses_only_what_was_in_its_hands(journey: Journey) -> None:
    assert ITEMS // 2 <= len(journey.pieces_before) < ITEMS == len(journey.pieces_after)
    assert {name: journey.pieces_after[name] for name in journey.pieces_before} == journey.pieces_before
    tries = Counter(note.name.split(".")[0] for note in (journey.folder / "notes").iterdir())
    assert max(tries.values()) <= 2
    assert not {name for name, times in tries.items() if times > 1} & set(journey.pieces_before)


def test_data_made_by_two_hosts_are_the_bytes_that_one_makes(journey: Journey, alone: Alone) -> None:
    for step in journey.steps[:-1]:
        one, two = (
            {entry["name"]: entry["sha256"] for entry in made(step, folder).manifest["files"]}
            for folder in (alone.end(), journey.folder)
        )
        assert one == two != {}


def made(step: Step, folder: Path) -> Artifact:
    artifact = Store(folder / "store").find(step)
    assert artifact is not None
    return artifact


def test_training_went_on_with_all_ranks_while_it_could_and_then_with_what_was_left(journey: Journey) -> None:
    ranks = [attempt["ranks"] for attempt in journey.attempts]
    assert journey.killed_ranks == 1
    assert ranks[0] == 2
    assert ranks[journey.attempts_before_removal - 1] == 2
    assert ranks[-1] == 1
    assert 3 <= journey.attempts_before_removal < len(ranks)
    resumed = [attempt["resumed_at_step"] for attempt in journey.attempts]
    assert resumed == sorted(resumed)
    assert resumed[-1] >= STEPS * 3 // 5
    assert "going on with 1 rank" in journey.log


def test_ranks_of_a_host_that_is_given_up_end_themselves(journey: Journey) -> None:
    assert journey.raylets_left_on_removed == 1  # nobody on that host ended them


def test_the_result_is_the_undisturbed_one_up_to_the_order_of_summation(journey: Journey, alone: Alone) -> None:
    trained = [made(journey.steps[-1], folder) for folder in (alone.end(), journey.folder)]
    one, two = (pq.read_table(artifact.file("curve.parquet")) for artifact in trained)
    assert one["step"].to_pylist() == two["step"].to_pylist()
    assert one.num_rows >= STEPS
    for name in ("loss", "mlm_loss", "nsp_loss", "gradient_norm", "learning_rate"):
        np.testing.assert_allclose(_column(two, name), _column(one, name), rtol=NEAR)
    for name in ("sequences", "tokens"):
        assert one[name].to_pylist() == two[name].to_pylist()
    weights, others = (load_file(artifact.file("model.safetensors")) for artifact in trained)
    assert weights.keys() == others.keys()
    for name, tensor in weights.items():
        np.testing.assert_allclose(others[name], tensor, rtol=1e-3, atol=1e-4)


def _column(table: Any, name: str) -> Any:
    return table[name].to_numpy(zero_copy_only=False).astype(float)


def test_nothing_is_left_of_the_hosts(journey: Journey) -> None:
    assert journey.log
    assert f"pretrace-{os.getpid()}-" not in ip("netns", "list")
