"""What is on its way to Prefect's page: log lines and artifacts, sent from a thread of their own.

A server that is slow or away for a while delays these displays and nothing else: an artifact is sent as it is when it can
be, lines wait, and the end of a run waits for what is left no longer than a moment.
"""

import threading
from collections import deque
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

SEND_SECONDS = 2.0
END_SECONDS = 5.0
ANSWER_SECONDS = 10.0
LINES_A_CALL = 200
LINES_AT_MOST = 5000
"""What is kept while the server is away; the oldest lines go first."""
REFUSED = 500
"""An answer below is the server's last word; from here on it may think better of it."""

Line = dict[str, Any]
"""A log line, in the words of Prefect's API."""
Place = tuple[str | None, str]
"""The task run of an artifact, if it has one, and its key."""


@dataclass(frozen=True)
class Card:
    """An artifact of a task run, or of the flow run: the newest one with its key is shown."""

    key: str
    kind: Literal["progress", "markdown", "table"]
    data: Any
    description: str = ""
    task_run_id: str | None = None


class Outbox:
    """Sends what one flow run shows."""

    def __init__(self, flow_run_id: str | None) -> None:
        self._flow_run_id = flow_run_id
        self._lines: deque[Line] = deque(maxlen=LINES_AT_MOST)
        self._cards: dict[Place, Card] = {}
        self._ids: dict[Place, str] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        run = copy_context().run  # with Prefect's settings: where its temporary server is, they alone know
        self._thread = threading.Thread(target=run, args=(self._send_until_over,), name="outbox", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(END_SECONDS)

    def show(self, card: Card) -> None:
        """Show an artifact, or what has become of it."""
        with self._lock:
            self._cards[card.task_run_id, card.key] = card

    def say(self, line: Line) -> None:
        """Show a log line."""
        with self._lock:
            self._lines.append({**line, "flow_run_id": self._flow_run_id})

    def _send_until_over(self) -> None:
        from httpx import HTTPError
        from prefect.client.orchestration import get_client
        from prefect.exceptions import PrefectException

        done = False
        while not done:
            away = suppress(HTTPError, PrefectException, RuntimeError, OSError)  # what is left is sent the next time
            with away, get_client(sync_client=True, httpx_settings={"timeout": ANSWER_SECONDS}) as client:
                while not self._over.wait(SEND_SECONDS):
                    self._send(client)
                self._send(client)
            done = self._over.wait(SEND_SECONDS)

    def _send(self, client: "SyncPrefectClient") -> None:
        for place in list(self._cards):
            with self._lock:
                card = self._cards.pop(place)
            try:
                self._send_card(client, place, card)
            except Exception:
                with self._lock:
                    self._cards.setdefault(place, card)
                raise
        while self._lines:
            lines = list(islice(self._lines, LINES_A_CALL))
            _ask(client, "POST", "/logs/", lines)
            for _ in lines:
                self._lines.popleft()

    def _send_card(self, client: "SyncPrefectClient", place: Place, card: Card) -> None:
        content = {"data": card.data, "description": card.description}
        if known := self._ids.get(place):
            _ask(client, "PATCH", f"/artifacts/{known}", content)
            return
        runs = {"flow_run_id": self._flow_run_id, "task_run_id": card.task_run_id}
        answer = _ask(client, "POST", "/artifacts/", {"key": card.key, "type": card.kind, **content, **runs})
        if answer:
            self._ids[place] = answer["id"]


def _ask(client: "SyncPrefectClient", method: Any, path: Any, content: Any) -> Any:
    """Send a request that may be refused: then there is nothing to be shown, and nothing to be tried again."""
    from httpx import HTTPStatusError

    try:
        answer = client.request(method, path, json=content)
    except HTTPStatusError as error:
        if error.response.status_code < REFUSED:
            return None
        raise
    return answer.json() if answer.content else None
