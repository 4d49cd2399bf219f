"""Parent runs that are not known to have ended: a note each beside the record, locked while its process lives.

A process that was killed, or that lost the tracking server before its end, leaves the note; the next flow run of the same
store ends the run in its place.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.core.tracking.client import trouble, unknown
from pipeline.core.tracking.uris import without_passwords

LEFT = "The process of this run ended without a word: it was killed, or its machine went down. The next run ended the record."
CHILDREN_AT_MOST = 100


class Parents:
    """The notes of one store on the parent runs of one tracking URI."""

    def __init__(self, folder: Path, uri: str) -> None:
        self._folder = folder
        self._uri = without_passwords(uri)
        self._held: dict[str, int] = {}  # by run id: an open file, locked

    def begun(self, run_id: str) -> None:
        """Note that a parent run began in this process."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._folder / f"{run_id}.json", os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)  # freed by kill -9
        self._held[run_id] = handle
        _write(handle, {"uri": self._uri})

    def ended(self, run_id: str) -> None:
        """Forget a parent run whose end was recorded."""
        (self._folder / f"{run_id}.json").unlink(missing_ok=True)
        os.close(self._held.pop(run_id))

    def unsent(self, run_id: str, status: str, tags: dict[str, str]) -> None:
        """Keep the end of a parent run for the next one to record."""
        handle = self._held.pop(run_id)
        _write(handle, {"uri": self._uri, "status": status, "tags": tags})
        os.close(handle)

    def end_those_left(self, client: Any) -> None:
        """Record the end of parent runs whose processes are gone; what cannot be reached is left for the next time."""
        for note in sorted(self._folder.glob("*.json")):
            with _left(note) as known:
                if known is not None and known.get("uri", self._uri) == self._uri and _end(client, note.stem, known):
                    note.unlink(missing_ok=True)


def _write(handle: int, note: dict[str, Any]) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(note).encode(), 0)


@contextmanager
def _left(note: Path) -> Iterator[dict[str, Any] | None]:
    """Hold a note and give what it says; None where its process lives, or another one has ended it."""
    with ExitStack() as held:
        known = None
        with suppress(OSError):
            handle = held.enter_context(note.open("r+", encoding="utf-8"))
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            known = _parsed(handle.read())
        yield known


def _parsed(text: str) -> dict[str, Any]:
    try:
        known = json.loads(text)
    except ValueError:  # cut by a kill
        return {}
    return known if isinstance(known, dict) else {}


def _end(client: Any, run_id: str, known: dict[str, Any]) -> bool:
    """End a run and the runs below it that nobody took over; says whether the note has served."""
    try:
        run = client.get_run(run_id)
        if run.info.lifecycle_stage == "deleted" or run.info.status != "RUNNING":
            return True
        for name, value in known.get("tags", {"mlflow.note.content": LEFT}).items():
            client.set_tag(run_id, name, value)
        below = f"tags.`mlflow.parentRunId` = '{run_id}' and attributes.status = 'RUNNING'"
        for child in client.search_runs([run.info.experiment_id], below, max_results=CHILDREN_AT_MOST):
            client.set_terminated(child.info.run_id, "FAILED")
        client.set_terminated(run_id, known.get("status", "FAILED"))
    except trouble() as error:
        return unknown(error)
    return True
