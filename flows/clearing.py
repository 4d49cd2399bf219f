"""`pretrace gc`: free the disk of pieces, while nothing is being made."""

from contextlib import ExitStack

from pipeline.core.errors import BusyError
from pipeline.core.store import Store
from pipeline.core.turns import holder, take


def clear(store: Store) -> int:
    """Remove the pieces that no artifact holds; returns the bytes freed. Nothing known can be made meanwhile.

    Raises: BusyError if something is being made.
    """
    with ExitStack() as held:
        for path in sorted(store.root.glob("locks/*")):
            handle = held.enter_context(path.open("a+", encoding="utf-8"))
            if not take(handle, "gc"):
                raise BusyError(
                    f"run.store={store.root}: {path.name} is being made ({holder(path)}); wait for it, or end it, and "
                    "run again"
                )
        return store.gc()
