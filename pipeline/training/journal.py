"""The curve journal: one JSON line a step, an evaluation and an event, appended and flushed while training runs.

Whoever wants to watch reads the tail of it. When a run is resumed it is cut back to the checkpoint's step, so that no
step is in it twice or missing.
"""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.errors import DataError
from pipeline.core.files import sync_folder

Line = dict[str, Any]

WALL_CLOCK = ("seconds", "data_seconds", "checkpoint_seconds", "memory_bytes", "cells")
"""Fields that differ from run to run or with the number of ranks: in the journal, never in curve.parquet."""


class Journal:
    """Rank 0's journal at `work/curve.jsonl`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._stream = path.open("a", encoding="utf-8")

    def append(self, line: Line) -> None:
        """Add a line; it is on its way to the disk after `flush`."""
        self._stream.write(json.dumps(line) + "\n")

    def flush(self) -> None:
        """Let readers see all lines."""
        self._stream.flush()

    def sync(self) -> None:
        """Make what was flushed survive a power cut; may be called beside the one who writes."""
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Flush and close."""
        self._stream.close()


def read_lines(path: Path) -> list[Line]:
    """Read all whole lines; a torn last one is left out."""
    return _whole(_texts(path))


def require_whole(path: Path) -> None:
    """Refuse a journal with a damaged line before its last: what follows is still there, and no step of it is lost.

    Raises: DataError.
    """
    texts = _texts(path)
    whole = len(_whole(texts))
    if whole < len(texts) - 1:
        raise DataError(
            f"{path}: line {whole + 1} is damaged, so the curve is not whole; the checkpoints beside it are kept. Mend the "
            f"line, or remove {path.parent} to train from the beginning"
        )


def _texts(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def _whole(texts: list[str]) -> list[Line]:
    """Give what lines hold, up to the first that is no object."""
    lines: list[Line] = []
    for text in texts:
        try:
            lines.append(dict(json.loads(text)))
        except (ValueError, TypeError):
            break
    return lines


def last_step(path: Path) -> int:
    """Return the last step up to which no line is missing."""
    steps = {line["step"] for line in read_lines(path) if "loss" in line}
    last = 0
    while last + 1 in steps:
        last += 1
    return last


def cut(path: Path, *, until: int) -> None:
    """Drop what was written after step `until`; what happened stays."""
    lines = [line for line in read_lines(path) if line["step"] <= until or "event" in line]
    beside = path.with_name(f".{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with beside.open("w", encoding="utf-8") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())  # checkpoints up to there promise that it is there
    beside.replace(path)
    sync_folder(path.parent)


def write_curve(lines: list[Line], path: Path) -> None:
    """Write one row a step, evaluations in the row of their step, no events; equal curves give equal bytes."""
    rows: dict[int, Line] = {}
    for line in (line for line in lines if "event" not in line):
        kept = {name: value for name, value in line.items() if name not in WALL_CLOCK}
        rows.setdefault(line["step"], {}).update(kept)
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    columns = {name: [rows[step].get(name) for step in sorted(rows)] for name in names}
    pq.write_table(pa.table(columns), path)
