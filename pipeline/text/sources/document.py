"""What a source hands on, whatever it read: documents of paragraphs, and a word about each one it could not read.

A source is a few functions. `find` lists the files that a user's path means; `cut` says in what spans a file can be read by several
workers; `read` streams one span of one file. What `read` yields therefore depends on nothing but the file, the span and the
`Reading`, and spans can be read in any order, on any machine.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple


class Document(NamedTuple):
    """One article, book or record, or a part of a very long one; there may be no paragraphs.

    Paragraphs are as the file has them, without markup: the cleaning steps that follow bring them to one form.
    A tuple, since a frozen dataclass takes as long to make as the sentences of an abstract take to find.
    """

    source: str
    title: str
    url: str  # empty if nowhere
    paragraphs: list[str]
    left_out: Mapping[str, int] = MappingProxyType({})  # by kind: {"tables": 2, "references": 14}


@dataclass(frozen=True)
class Skipped:
    """A document that could not be parsed; never one that was left out on purpose, such as a redirect."""

    where: str  # in its file: "line 12", "page 'Foo' (id 12)"
    reason: str
    documents: int = field(default=1, compare=False)  # none, for a word about the file itself


@dataclass(frozen=True)
class Span:
    """A stretch of a file that can be read alone; what its borders count (bytes, row groups) is the source's affair."""

    begin: int
    end: int


@dataclass(frozen=True)
class Reading:
    """How a user wants a file read."""

    source: str  # goes into Document.source
    text_column: str = "text"
    list_items: Literal["sentences", "all", "none"] = "sentences"
    truncated: Literal["error", "keep"] = "error"
    document_seconds: float = 60.0  # what takes longer to parse is skipped


def uncut(path: Path) -> list[Span]:
    """Give the one span of a file that is read as a whole."""
    return [Span(0, path.stat().st_size)]


@dataclass(frozen=True)
class Source:
    """A kind of text that can be read.

    `find` raises ConfigError if the path means no file; its second argument names the split, for sources that have splits.
    `cut` returns no span for one long compressed stream: `unpack` then rewrites it once as files in a folder (their names
    sort in order) that are each read as a whole. `read` raises DataError if the file is cut or malformed.
    """

    summary: str
    find: Callable[[Path, str], list[Path]]
    read: Callable[[Path, Span, Reading], Iterator[Document | Skipped]]
    cut: Callable[[Path], list[Span]] = uncut
    unpack: Callable[[Path, Path], None] | None = None
