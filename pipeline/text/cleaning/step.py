"""What a cleaning step is: documents in, the documents it keeps out, in the same order, and a note of each one it leaves out."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.text.sources.document import Document

Drops = Counter[tuple[str, str]]
"""How many documents were left out, by step and reason."""


@dataclass(frozen=True)
class Settings:
    """What the steps may be told; see `recipe.corpus.cleaning`."""

    language: str = "en"
    minimum_words: int = 1
    language_confidence: float = 0.5


@dataclass(frozen=True)
class CleaningStep:
    """One step: takes documents and hands on those it keeps, mended; notes in `drops` each one it leaves out, and why.

    It takes the next document only when it is asked for one.
    """

    summary: str
    run: Callable[[Iterator[Document], Settings, Drops], Iterator[Document]]


def kept(
    documents: Iterator[Document], step: str, drops: Drops, fault: Callable[[Document], str | None]
) -> Iterator[Document]:
    """Hand on documents in which no fault is found; count the others by the fault."""
    for document in documents:
        reason = fault(document)
        if reason is None:
            yield document
        else:
            drops[step, reason] += 1
