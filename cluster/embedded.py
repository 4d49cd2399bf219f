"""An embedded Ray: started for one driver on this machine, gone with it.

Ray's servers get PR_SET_PDEATHSIG and its workers leave with them, but the two agents of ray 2.60 live on for a minute
after a SIGKILL of the driver. So the driver notes in `state` which processes are its own, and a watchman (a child that
waits for the driver's end) reaps them; if that one was killed too, the next start does.
"""

import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict

import psutil

from cluster.join import make_token
from cluster.watchman import dismiss, hire
from pipeline.core.errors import ComputeError
from pipeline.core.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
OBJECT_STORE_BYTES = 200 << 20  # only names and digests of pieces travel through it
PARENT, PREFIX = Path("/tmp"), "pretrace-ray-"  # Ray's unix sockets lie below: 107 bytes at most, so no deep TMPDIR
START_ATTEMPTS = 5
"""Two that start at once can clash over ports; and Ray gives up where its agent takes more than 15 s to come up."""
START_SECONDS = 180.0
"""For Ray's own server on this host to be known to its head: Ray waits for 30, too few on a busy machine."""
END_SECONDS = 5.0
CLOCK_SECONDS = 0.5  # how exactly times of creation are compared; process ids do not come round so fast


class Mark(TypedDict):
    """What tells one process from a later one with the same id."""

    pid: int
    created: float


class Note(TypedDict):
    """Who started an embedded Ray, which processes it has and where its files are."""

    driver: Mark
    processes: list[Mark]
    folder: str


class Embedded:
    """A running Ray of our own, to which this process is connected."""

    def __init__(self, cpus: int, state: Path, env: dict[str, str]) -> None:
        """Start it, with `env` in the environment of every worker.

        Raises: ComputeError if it does not start.
        """
        reap(state)
        make_token()
        state.mkdir(parents=True, exist_ok=True)
        self._note = state / f"ray-{socket.gethostname()}-{os.getpid()}.json"
        self._watchman = hire("cluster.embedded:reap_in", str(state.absolute()))
        for attempt in range(1, START_ATTEMPTS + 1):
            self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PARENT))
            self._over = threading.Event()
            self.note()
            try:
                _start(cpus, self._folder, env, self._over)
            except Exception as error:
                self._stop()
                if attempt == START_ATTEMPTS:
                    self.end()
                    raise ComputeError(f"{PARENT}: an embedded Ray did not start there: {error}") from error
            else:
                break
        self.note()

    def note(self) -> None:
        """Write down its processes of this moment, so that others can end them if we cannot."""
        driver = psutil.Process()
        found = [mark for process in _processes(self._folder) if (mark := _mark(process))]
        mark = Mark(pid=driver.pid, created=driver.create_time())
        write_json(self._note, Note(driver=mark, processes=found, folder=str(self._folder)))

    def end(self) -> None:
        """Stop it and leave nothing behind."""
        self._stop()
        self._note.unlink(missing_ok=True)
        dismiss(self._watchman)

    def _stop(self) -> None:
        import ray

        processes = list(_processes(self._folder))
        ray.shutdown()
        self._over.set()
        _, left = psutil.wait_procs(processes, timeout=END_SECONDS)
        _kill(left)
        shutil.rmtree(self._folder, ignore_errors=True)


def _start(cpus: int, folder: Path, env: dict[str, str], over: threading.Event) -> None:
    """Start Ray from a thread that stays until it is over.

    PR_SET_PDEATHSIG means the thread that forked, not its process: Ray's servers would die with a worker thread of Prefect.
    """
    started: Future[None] = Future()

    def keep() -> None:
        try:
            _init(cpus, folder, env)
        except BaseException as error:  # noqa: BLE001 - raised again where it was asked for
            started.set_exception(error)
            return
        started.set_result(None)
        over.wait()

    threading.Thread(target=keep, name="embedded Ray", daemon=True).start()
    started.result()


def _init(cpus: int, folder: Path, env: dict[str, str]) -> None:
    import ray

    with _patience(folder):
        ray.init(
            "local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": env},
            _temp_dir=str(folder),
        )


@contextmanager
def _patience(folder: Path) -> Iterator[None]:
    """Have Ray wait for its server on this host as long as that one lives, not for half a minute."""
    from ray._private import services

    find = services.get_node

    def wait(*arguments: Any) -> Any:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return find(*arguments)  # type: ignore[no-untyped-call]
            except RuntimeError:
                if time.monotonic() > end or not _lives(folder):
                    raise

    services.get_node = wait
    try:
        yield
    finally:
        services.get_node = find


def _lives(folder: Path) -> bool:
    """Tell whether Ray's server on this host, which was started in `folder`, runs."""
    for process in _processes(folder):
        with suppress(psutil.NoSuchProcess):
            if process.name() == "raylet":
                return True
    return False


def _processes(folder: Path) -> Iterator[psutil.Process]:
    """Find the servers that this process started in `folder` and what they started."""
    for child in psutil.Process().children():
        try:
            if any(str(folder) in argument for argument in child.cmdline()):
                yield child
                yield from child.children(recursive=True)
        except psutil.NoSuchProcess:
            continue


def _mark(process: psutil.Process) -> Mark | None:
    try:
        return Mark(pid=process.pid, created=process.create_time())
    except psutil.NoSuchProcess:
        return None


def reap_in(state: str) -> None:
    """Reap; the watchman's duty."""
    reap(Path(state))


def reap(state: Path) -> None:
    """End what embedded Rays of dead drivers on this host left running, and remove their files."""
    for path in state.glob(f"ray-{socket.gethostname()}-*.json"):
        try:
            note: Note = read_json(path)
        except FileNotFoundError:  # the watchman of that driver was here in this very moment
            continue
        if _find(note["driver"]):
            continue
        _kill(filter(None, map(_find, note["processes"])))
        folder = Path(note["folder"])
        if folder.parent == PARENT and folder.name.startswith(PREFIX):
            shutil.rmtree(folder, ignore_errors=True)
        for gang in state.glob(f"{gang_prefix(note['driver']['pid'])}*"):
            shutil.rmtree(gang, ignore_errors=True)
        path.unlink(missing_ok=True)


def gang_prefix(driver: int) -> str:
    """Name the folders in which Ray Train keeps its notes on the gangs of one driver."""
    return f"gang-{socket.gethostname()}-{driver}-"


def _kill(processes: Iterable[psutil.Process]) -> None:
    """Kill and wait: whoever still writes would bring back the folder that is removed next."""
    killed = list(processes)
    for process in killed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(killed, timeout=END_SECONDS)


def _find(mark: Mark) -> psutil.Process | None:
    try:
        process = psutil.Process(mark["pid"])
        same = abs(process.create_time() - mark["created"]) < CLOCK_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
