"""What workers and ranks log, brought to the driver: a journal for each process, in a folder that all hosts see.

A journal of its own needs no lock, holds what a killed process said last, and cannot take lines of others along. The
driver looks for new lines about once a second and logs them again as `pretrace.remote`, with the time they had.
"""

import json
import logging
import os
import shutil
import socket
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = "PRETRACE_LOGS"
"""In the environment of workers and ranks: the folder of the journals."""
OURS = ("pipeline", "cluster", "pretrace")
REMOTE = logging.getLogger("pretrace.remote")
REMOTE.propagate = False  # the terminal shows what the driver says of its ranks; whoever wants all of it adds a handler
REMOTE.addHandler(logging.NullHandler())


def journal(who: str, level: int) -> None:
    """Have this process write what it logs into a journal, ours from `level`, others' from WARNING; harmless if it does."""
    folder = os.environ.get(FOLDER)
    if folder:
        _begin(folder, who, level)


class Listener:
    """Reads the journals below a folder as they grow."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[Path, int] = {}

    def env(self) -> dict[str, str]:
        """Give what the environment of workers and ranks needs."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return {FOLDER: str(self._folder)}

    def listen(self) -> None:
        """Log what was written since the last time; a line that is not whole yet is left for the next time."""
        lines = [line for path in self._folder.glob("*.jsonl") for line in self._new(path)]
        for line in sorted(lines, key=lambda line: float(line["at"])):
            REMOTE.handle(_record(line))

    def end(self) -> None:
        """Log what is left and remove the journals."""
        self.listen()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _new(self, path: Path) -> list[dict[str, Any]]:
        with path.open("rb") as file:
            file.seek(self._offsets.get(path, 0))
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offsets[path] = self._offsets.get(path, 0) + len(whole)
        return [json.loads(line) for line in whole.splitlines()]


class _Journal(logging.Handler):
    """Appends a line of JSON for each record."""

    def __init__(self, folder: str, who: str) -> None:
        super().__init__()
        self._who = f"{who} on {socket.gethostname()}"
        name = f"{socket.gethostname()}-{os.getpid()}.jsonl"
        self._file = os.open(Path(folder) / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave out what others say below WARNING: some loggers have levels of their own."""
        return record.levelno >= logging.WARNING or record.name.partition(".")[0] in OURS

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line at once: nothing that was said is lost with the process."""
        text = self.format(record)
        line = {"at": record.created, "level": record.levelno, "logger": record.name, "who": self._who, "text": text}
        os.write(self._file, json.dumps(line).encode() + b"\n")


@cache
def _begin(folder: str, who: str, level: int) -> None:
    """Add the handler, once for all tasks that a worker is given."""
    handler = _Journal(folder, who)
    logging.getLogger().addHandler(handler)
    for name in OURS:
        logging.getLogger(name).setLevel(level)


def _record(line: dict[str, Any]) -> logging.LogRecord:
    record = logging.LogRecord(line["logger"], line["level"], "", 0, f"{line['who']}: {line['text']}", None, None)
    record.created = line["at"]
    return record
