"""Compute on Ray: maps as Ray tasks, gangs as Ray Train worker groups.

Ray starts with the first piece that has to be made: a run that finds everything made starts nothing.
"""

import logging
import os
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from cluster.embedded import ROOT, Embedded, gang_prefix
from cluster.gang import Group, Leader, end_group, is_final, tail
from cluster.join import join
from cluster.logs import Listener, journal
from cluster.signals import handlers_kept
from cluster.turn import give_turn
from pipeline.core.compute import NOTE, MakePiece, Piece, Seat, make_piece
from pipeline.core.errors import ComputeError, PretraceError

T = TypeVar("T")
LOG = logging.getLogger("pretrace.cluster")

WATCH_SECONDS = 1.0
CANCEL_SECONDS = 5.0  # a cancelled task may tidy up for so long, then its worker is killed
WORKER_RETRIES = 2
TRIED = f"its worker ended abnormally {WORKER_RETRIES + 1} times"
KEPT = "; finished pieces are kept: run again, with fewer run.workers if memory is short"
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # else a dead worker is printed to the driver's stdout in spite of log_to_driver
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else ray 2.60 warns of it at every start
    "RAY_task_oom_retries": str(WORKER_RETRIES),  # Ray's default is for ever
}
INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")  # where the user names them; else see cluster.network
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


class RayCompute:
    """A place where work runs: an embedded Ray on this machine, or a cluster that is already there.

    `address` is None or the cluster's `host:port`; `workers` items of a map run at once. `state` is a folder of the
    store: hosts of a cluster must see it, like all of the store. Paths in items and orders should be absolute, since
    workers of a cluster run in other folders. Where a cluster lost hosts, a gang waits for `host_wait_seconds` until
    they are back, and then goes on with what there is room for, if that is `min_ranks`. Ranks wait for each other for
    `rank_wait_seconds`, then they start again from a checkpoint.
    """

    def __init__(
        self,
        *,
        address: str | None,
        workers: int,
        ranks: int,
        state: Path,
        threads_per_rank: int = 1,
        gpus_per_rank: float = 0,
        min_ranks: int | None = None,
        max_failures: int = 3,
        host_wait_seconds: float = 300,
        rank_wait_seconds: int = 1800,
        rank_start_timeout_seconds: float = 300,
    ) -> None:
        self._address = address
        self._workers = workers
        self._state = state.absolute()
        self._group = Group(
            ranks, threads_per_rank, gpus_per_rank, rank_start_timeout_seconds, rank_wait_seconds, self._state
        )
        self._min_ranks = min(ranks, min_ranks or ranks)
        self._host_wait_seconds = host_wait_seconds if address else 0.0
        self._max_failures = max_failures
        self._lock = threading.Lock()
        self._embedded: Embedded | None = None
        self._connected = False
        self._listener = Listener(self._state / f"{gang_prefix(os.getpid())}logs-{uuid.uuid4().hex[:8]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster, or end the embedded Ray; whatever still runs there ends."""
        with self._lock:
            if self._embedded:
                self._embedded.end()
            elif self._connected:
                import ray

                ray.shutdown()
            self._embedded, self._connected = None, False
            self._listener.end()

    def map(
        self,
        fn: MakePiece[T],
        items: Sequence[T],
        folders: Sequence[Path],
        done: Callable[[int], None],
        each: Seat = "worker",
    ) -> list[Piece]:
        """Make every item into its folder and return the pieces in item order; tell `done` how many there are.

        Where each gets what a rank has, as many run at once as there are ranks, and `done` is told about once a second.

        Raises: whatever PretraceError or OSError an item raised; ComputeError for any other end of a worker.
        """
        missing = [index for index, folder in enumerate(folders) if not (folder / NOTE).exists()]
        count = len(items) - len(missing)
        if count:
            done(count)
        made: dict[int, Piece] = {}
        hosts: Counter[str] = Counter()

        def watch() -> None:
            if each == "rank":
                done(count + len(made))

        with closing(self._make(fn, items, folders, missing, each, watch)) as making:
            for index, (piece, host) in making:
                made[index] = piece
                hosts[host] += 1
                done(count + len(made))
        if self._address is not None and made:
            LOG.info("%s: made %s", fn.__qualname__, ", ".join(f"{n} on {host}" for host, n in sorted(hosts.items())))
        return [made.get(i) or make_piece(fn, items[i], folder) for i, folder in enumerate(folders)]

    def gang(self, entry: str, order: Path, watch: Callable[[], None]) -> None:
        """Run `module:function` on every rank with the path of one JSON order; call `watch` about once a second.

        A group that lost a rank is started again, `max_failures` times; the function resumes by itself.

        Raises: whatever PretraceError a rank raised; ComputeError for any other end of a rank.
        """
        for attempt in range(self._max_failures + 1):
            ranks = self._wait_for_room(watch)
            failures = self._attempt(ranks, entry, order.absolute(), watch)
            if not failures:
                return
            if is_final(failures[0]):
                raise failures[0]
            LOG.warning("attempt %d of %d: %s", attempt + 1, self._max_failures + 1, failures[0])
        raise ComputeError(f"{order}: {failures[0]}")

    def _attempt(self, ranks: int, entry: str, order: Path, watch: Callable[[], None]) -> list[Exception]:
        ray = self._ray()
        storage = self._state / f"{gang_prefix(os.getpid())}{uuid.uuid4().hex[:8]}"
        group = replace(self._group, ranks=ranks, storage=storage)
        give_turn(order, storage.name)
        leader = ray.remote(Leader).options(num_cpus=0, scheduling_strategy=_here(ray)).remote()
        running = leader.run.remote(group, entry, str(order))
        try:
            while not ray.wait([running], timeout=WATCH_SECONDS)[0]:
                self._note()
                self._listener.listen()
                watch()
                if room(ray, group) < ranks:
                    return [ComputeError(f"a host was lost: there is no more room for {_ranks(ranks)}")]
            watch()
            failures: list[Exception] = ray.get(running)
        except ray.exceptions.RayError as error:
            return [_meaning(error, "the process that leads the ranks", "it ended abnormally")]
        finally:
            end_group(ray, leader, group)
            self._listener.listen()
        return failures

    def _wait_for_room(self, watch: Callable[[], None]) -> int:
        """Count the ranks to start: all; or, where hosts stay away for too long, those that there is room for.

        Raises: ComputeError if these are too few.
        """
        ray, wanted, patience = self._ray(), self._group.ranks, time.monotonic() + self._host_wait_seconds
        waited = False
        while (found := room(ray, self._group)) < wanted and time.monotonic() < patience:
            if not waited:
                LOG.warning("%s; waiting %g s for hosts", self._shortage(found), self._host_wait_seconds)
            waited = True
            watch()
            time.sleep(WATCH_SECONDS)
        if found < self._min_ranks:
            raise ComputeError(f"{self._shortage(found)}; lower run.ranks, run.threads or run.min_ranks, or add hosts")
        if found < wanted:
            LOG.warning("%s; going on with %s", self._shortage(found), _ranks(found))
        return min(found, wanted)

    def _shortage(self, found: int) -> str:
        wanted = self._group.ranks
        what = " and ".join(f"{wanted * amount:g} {name}s" for name, amount in self._group.needs().items())
        return f"run.ranks={wanted} needs {what}, and Ray has room for {_ranks(found)}"

    def _make(
        self,
        fn: MakePiece[T],
        items: Sequence[T],
        folders: Sequence[Path],
        missing: list[int],
        each: Seat,
        watch: Callable[[], None],
    ) -> Generator[tuple[int, tuple[Piece, str]], None, None]:
        if not missing:
            return
        ray = self._ray()
        group, at_once = self._for_each(each)
        task = ray.remote(make_here).options(**_options(group))
        queue = iter(missing)
        running: dict[Any, int] = {}
        try:
            while True:
                for index in islice(queue, at_once - len(running)):
                    running[task.remote(fn, items[index], folders[index].absolute())] = index
                if not running:
                    return
                ready = self._first(ray, list(running), group, watch)
                index = running.pop(ready)
                yield index, _result(ray, ready, f"{folders[index]}: {fn.__qualname__}")
        finally:
            _abandon(ray, list(running))
            self._listener.listen()

    def _for_each(self, each: Seat) -> tuple[Group, int]:
        """Say what an item needs, and how many run at once."""
        if each == "rank":
            return self._group, self._group.ranks
        return replace(self._group, threads=1, gpus_per_rank=0), self._workers

    def _first(self, ray: Any, running: list[Any], group: Group, watch: Callable[[], None]) -> Any:
        """Wait until one of some tasks is over; without a host to run them, as long as for lost hosts.

        Raises: ComputeError if there is none for so long.
        """
        empty: float | None = None
        needs = "a GPU for a trial" if group.gpus_per_rank else "a CPU for run.workers"
        while not (ready := ray.wait(running, num_returns=1, timeout=WATCH_SECONDS)[0]):
            self._listener.listen()
            watch()
            if room(ray, group):
                empty = None
            elif empty is None:
                empty = time.monotonic()
                LOG.warning("no host has %s; waiting %g s for hosts", needs, self._host_wait_seconds)
            elif time.monotonic() - empty > self._host_wait_seconds:
                raise ComputeError(
                    f"run.ray_address={self._address}: no host there has {needs}; add hosts "
                    "(ray start --address=...) and run again, finished pieces are kept"
                )
        return ready[0]

    def _ray(self) -> Any:
        """Give the ray module, connected."""
        with self._lock:
            if not self._connected:
                os.environ.update({**QUIET, **os.environ})
                with handlers_kept():
                    self._connect()
                self._connected = True
        import ray

        return ray

    def _connect(self) -> None:
        if "ray" in sys.modules and sys.modules["ray"].is_initialized():
            raise ComputeError(
                "run.ray_address: this process already uses a Ray; close that first, or use another process"
            )
        env = {**_worker_env(), **self._group.env(), **self._listener.env()}
        if self._address is None:
            self._embedded = Embedded(max(self._workers, self._group.ranks * self._group.threads), self._state, env)
        else:
            join(self._address, env)

    def _note(self) -> None:
        if self._embedded:
            self._embedded.note()


def make_here(fn: MakePiece[T], item: T, folder: Path) -> tuple[Piece, str]:
    """Make a piece and say on which host; runs in a worker."""
    from cluster.network import own_address

    journal(f"worker {os.getpid()}", logging.WARNING)
    return make_piece(fn, item, folder), own_address()


def _options(group: Group) -> dict[str, Any]:
    """Give the options of a task that needs what a rank of a group needs."""
    gpus = {"num_gpus": group.gpus_per_rank} if group.gpus_per_rank else {}
    return {"num_cpus": group.threads, "max_retries": WORKER_RETRIES, "scheduling_strategy": "SPREAD", **gpus}


def room(ray: Any, group: Group) -> int:
    """Count the ranks that the hosts which are there have room for, whether or not others use it now."""
    hosts = [host["Resources"] for host in ray.nodes() if host["Alive"]]
    needs = group.needs().items()
    return sum(min(int(has.get(name, 0) // amount) for name, amount in needs) for has in hosts)


def _here(ray: Any) -> Any:
    """Have an actor run on the driver's own host: the loss of another one is not its end."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _ranks(number: int) -> str:
    return f"{number} rank{'' if number == 1 else 's'}"


def _worker_env() -> dict[str, str]:
    """Give what every worker's environment holds: one thread each, and this package wherever the driver runs.

    And one arena of glibc's malloc: a rank trains in a thread of Ray Train's, to which glibc would give an arena of heaps of
    64 MB that go back to the kernel when they are empty, whatever `keep_freed_memory` says: short steps took twice as long.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = dict.fromkeys(ONE_THREAD, "1")
    interfaces = {name: os.environ[name] for name in INTERFACES if name in os.environ}
    return {
        **QUIET,
        **threads,
        **interfaces,
        "MALLOC_ARENA_MAX": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def _result(ray: Any, ready: Any, what: str) -> tuple[Piece, str]:
    try:
        made: tuple[Piece, str] = ray.get(ready)
    except ray.exceptions.RayError as error:
        raise _meaning(error, what, TRIED, KEPT) from error
    return made


def _meaning(error: Exception, what: str, died: str, advice: str = "") -> Exception:
    """Turn what Ray raises into what the worker raised, or into a ComputeError."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, PretraceError | OSError):
        return cause
    if cause is not None:
        return ComputeError(f"{what} failed: {tail(str(error))}")
    why = f"{type(error).__name__}: killed, out of memory, or a crash in native code"
    return ComputeError(f"{what}: {died} ({why}){advice}")


def _abandon(ray: Any, running: list[Any]) -> None:
    """Cancel tasks; return when their workers no longer write."""
    for force in (False, True):
        for task in running:
            ray.cancel(task, force=force)
        if running:
            running = ray.wait(running, num_returns=len(running), timeout=CANCEL_SECONDS)[1]
