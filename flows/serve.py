"""`pretrace up`: Prefect's server, MLflow's server and a worker, kept alive together on this machine's loopback."""

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cluster.services import HOST, Asked, Keeper, Kept, Service, answers_at, end_left, require_port
from flows.databases import Databases
from flows.progress import console
from flows.quiet_page import silence
from flows.running import QUIET
from pipeline.core.errors import StoreError
from pipeline.core.files import read_json
from pipeline.core.store import Store

PREFECT, MLFLOW, WORKER = "Prefect server", "MLflow server", "worker"
STORE = "PRETRACE_STORE"
"""In the environment of the worker: where `run.store` is unless a run says otherwise."""
WORKER_SECONDS = 45.0
"""How long the worker may take to end: its runs have 30 s for a checkpoint."""
STATES = {
    "waiting": "waits for the others",
    "starting": "starts",
    "answers": "answers",
    "restarting": "died and starts again",
    "ended": "ended",
}
DROPPED = ("PREFECT_PROFILE", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PRETRACE_POSTGRES")
"""Settings of another server that the person works with as well, and a password that runs need not see."""
PYTHON = (sys.executable, "-P")  # nothing of the current folder is taken for a package


@dataclass(frozen=True)
class Place:
    """Where the control room is: the store and the ports."""

    root: Path
    port_base: int

    @property
    def prefect(self) -> str:
        """The page of Prefect."""
        return f"http://{HOST}:{self.port_base}"

    @property
    def mlflow(self) -> str:
        """The server of MLflow."""
        return f"http://{HOST}:{self.port_base + 1}"

    @property
    def mlflow_page(self) -> str:
        """The page of MLflow, which opens in another mode without being told."""
        return f"{self.mlflow}/#/experiments?workflowType=machine_learning"

    @property
    def page(self) -> Path:
        """The files of Prefect's page, which its server copies there."""
        return self.root / "prefect" / "page"

    def shows_prefect(self) -> bool:
        """Tell whether Prefect answers; its page then calls nobody outside."""
        answering = answers_at(f"{self.prefect}/api/health")()
        if answering:
            silence(self.page)
        return answering

    @property
    def ready(self) -> Path:
        """The file that the worker writes when it has registered the deployments."""
        return self.root / "logs" / "worker.json"

    def log(self, name: str) -> Path:
        """The log of a service."""
        return self.root / "logs" / f"{name}.log"


def up(root: Path, port_base: int, postgres: str | None) -> None:
    """Keep the control room of a store open until Ctrl-C or SIGTERM.

    Raises: ConfigError for a port in use or a database that does not answer; StoreError if the store has a control room;
    ComputeError if a part of it dies too often.
    """
    with Asked() as asked:
        store = Store(root.absolute()).open()
        with _alone(store.root):
            place = Place(store.root, port_base)
            require_port(port_base, PREFECT, "--port-base")
            require_port(port_base + 1, MLFLOW, "--port-base")
            databases = Databases.of(store.root, postgres)
            mark = str(store.root)
            end_left(mark)  # of one that was killed together with its watchman
            place.ready.unlink(missing_ok=True)
            keeper = Keeper(_services(place, databases), mark, asked)
            with _told(console(), place) as tell:
                keeper.keep(tell)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the store's lock; it is freed by kill -9 as well.

    Raises: StoreError if another control room has it.
    """
    with (root / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise StoreError(
                f"--store {root}: has a control room already, process {lock.read().strip() or 'unknown'}; "
                "end that one or name another store"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _services(place: Place, databases: Databases) -> list[Service]:
    env = _environment(place)
    at = ("--host", HOST, "--port")
    prefect = (*PYTHON, "-m", "prefect", "server", "start", *at, str(place.port_base))
    mlflow = (*PYTHON, "-m", "mlflow", "server", *at, str(place.port_base + 1), "--workers", "1")
    artifacts = ("--artifacts-destination", str(place.root / "mlflow-artifacts"))
    return [
        Service(
            name=PREFECT,
            command=prefect,
            env={**env, **databases.prefect},
            log=place.log("prefect"),
            answers=place.shows_prefect,
            where=place.prefect,
        ),
        Service(
            name=MLFLOW,
            command=(*mlflow, *artifacts),
            env={**env, **databases.mlflow},
            log=place.log("mlflow"),
            answers=answers_at(f"{place.mlflow}/health"),
            where=place.mlflow_page,
        ),
        Service(
            name=WORKER,
            command=(*PYTHON, "-m", "flows.worker", str(place.ready)),
            env={**env, "PREFECT_LOGGING_LEVEL": "INFO"},  # the page shows what a run says
            log=place.log("worker"),
            answers=lambda: place.ready.is_file() and psutil.pid_exists(read_json(place.ready)),
            needs=(PREFECT,),
            end_seconds=WORKER_SECONDS,
        ),
    ]


def _environment(place: Place) -> dict[str, str]:
    """Give what all three see: each other, the store, and no way to the outside."""
    env = {name: value for name, value in os.environ.items() if name not in DROPPED}
    own = {
        "PREFECT_HOME": str(place.root / "prefect"),
        "PREFECT_API_URL": f"{place.prefect}/api",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(place.page),
        "MLFLOW_TRACKING_URI": place.mlflow,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # fourteen processes and 30 s of start for what we do not use
        STORE: str(place.root),
    }
    return {**QUIET, **env, **own}


@contextmanager
def _told(out: Console, place: Place) -> Iterator[Callable[[Sequence[Kept]], None]]:
    """Tell how the services are: a table that changes on a terminal, elsewhere a line a change."""
    if not out.is_terminal:
        yield Lines(out)
        return
    with Live(console=out, auto_refresh=False) as live:
        yield lambda kept: live.update(_table(kept), refresh=True)


class Lines:
    """Prints a line whenever a service enters another state, and the pages when all answer."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._told: dict[str, str] = {}

    def __call__(self, kept: Sequence[Kept]) -> None:
        """Print what changed."""
        for one in kept:
            if self._told.get(one.service.name) != one.stage:
                self._told[one.service.name] = one.stage
                self._out.print(_sentence(one), highlight=False, soft_wrap=True)


def _sentence(one: Kept) -> str:
    where = f" at {one.service.where}" if one.stage == "answers" and one.service.where else ""
    return f"{one.service.name}: {STATES[one.stage]}{where}"


def _table(kept: Sequence[Kept]) -> Table:
    table = Table("", "", "since", "starts again", "where", box=None, pad_edge=False)
    for one in kept:
        since = f"{time.monotonic() - one.since:.0f} s"
        style = "green" if one.stage == "answers" else "yellow"
        table.add_row(
            one.service.name, f"[{style}]{STATES[one.stage]}[/]", since, str(len(one.deaths) or ""), one.service.where
        )
    return table
