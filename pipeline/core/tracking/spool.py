"""Figures on their way to MLflow: a journal of JSON lines and how far it was sent."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

METRICS_A_CALL = 900
"""MLflow takes at most 1000 metrics a call."""


class Spool:
    """A step is journalled once, however often training comes past it.

    Sending a line twice is harmless, because it carries its time and MLflow keeps equal points once.
    """

    def __init__(self, journal: Path) -> None:
        self._offset_note = journal.with_suffix(".sent")
        self._file = journal.open("a+b")
        self._drop_torn_line()
        self._last: dict[str, int] = {}  # by name: the last step journalled
        self._file.seek(0)
        for line in map(json.loads, self._file.read().splitlines()):
            self._last |= dict.fromkeys(line["values"], line["step"])

    @property
    def last(self) -> int:
        """The last step of any figure."""
        return max(self._last.values(), default=0)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Journal the figures of a step that were not journalled before."""
        fresh = {name: value for name, value in values.items() if step > self._last.get(name, -1)}
        if not fresh:
            return
        self._last |= dict.fromkeys(fresh, step)
        line = {"step": step, "time_ms": int(time.time() * 1000), "values": fresh}
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    def batches(self) -> Iterator[tuple[list[dict[str, Any]], int]]:
        """Yield journalled lines not sent yet, a call's worth at a time, with the offset after them."""
        self._file.seek(self._offset())
        lines: list[dict[str, Any]] = []
        size = 0
        for raw in iter(self._file.readline, b""):
            lines.append(json.loads(raw))
            size += len(lines[-1]["values"])
            if size >= METRICS_A_CALL - 50:
                yield lines, self._file.tell()
                lines, size = [], 0
        if lines:
            yield lines, self._file.tell()

    def sent(self, offset: int) -> None:
        """Note that everything before an offset has arrived."""
        self._offset_note.write_text(str(offset))

    def close(self) -> None:
        """Close the journal."""
        self._file.close()

    def _offset(self) -> int:
        return int(self._offset_note.read_text() or 0) if self._offset_note.exists() else 0

    def _drop_torn_line(self) -> None:
        self._file.seek(0)
        whole = self._file.read()
        self._file.truncate(whole.rfind(b"\n") + 1)
