"""`pretrace gc`: free the disk of pieces, while nothing is being made."""

from pipeline.core.store import Store


def clear(store: Store) -> int:
    """Remove the pieces that no artifact holds; returns the bytes freed. Nothing can be made meanwhile.

    Raises: BusyError if something is being made.
    """
    with store.alone():
        return store.gc()
