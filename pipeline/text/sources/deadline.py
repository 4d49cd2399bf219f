"""The time limit of a document while it is read: one that takes longer is skipped, and its reader goes on with the next.

Only the making of a document is limited. To find the next one takes as long as there are bytes of no use before it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pipeline.core.errors import DataError
from pipeline.core.limits import Alarm
from pipeline.text.sources.document import Document, Skipped

Record = TypeVar("Record")


def made(
    records: Iterable[Record],
    make: Callable[[Record], Document | Skipped | None],
    where: Callable[[Record], str],
    seconds: float,
) -> Iterator[Document | Skipped]:
    """Make documents of records, a word of each that takes too long, and nothing of those that are none.

    Raises: what `records` raises; `make` is to raise no DataError.
    """
    with Alarm(seconds) as alarm:
        limit = alarm.set()
        for record in records:
            found: Document | Skipped | None
            try:
                with limit:
                    found = make(record)
            except DataError as error:
                found = Skipped(where(record), str(error))
            if found:
                yield found


def until_late(found: Iterator[Document], where: str, seconds: float) -> Iterator[Document | Skipped]:
    """Hand on documents as they are found; when one takes too long, a word about it is the last.

    `found` is to raise no DataError.
    """
    with Alarm(seconds) as alarm:
        while True:
            try:
                with alarm.set():
                    document = next(found, None)
            except DataError as error:
                yield Skipped(where, str(error))
                return
            if document is None:
                return
            yield document
