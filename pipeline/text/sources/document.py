"""What a source hands on, whatever it read: documents of clean paragraphs, and a word about each one it could not read.

A source is two functions. `find` lists the files that a user's path means; `read` streams one of them. The files of a source
can therefore be read in any order, on any machine.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Document:
    """One article, book or record; its paragraphs are normalised prose, and there may be none of them."""

    source: str
    title: str
    url: str  # empty if nowhere
    paragraphs: list[str]


@dataclass(frozen=True)
class Skipped:
    """A document that could not be parsed; never one that was left out on purpose, such as a redirect."""

    where: str  # in its file: "line 12", "page 'Foo' (id 12)"
    reason: str


@dataclass(frozen=True)
class Reading:
    """How a user wants a file read."""

    source: str  # goes into Document.source
    text_column: str = "text"


@dataclass(frozen=True)
class Source:
    """A kind of text that can be read.

    `find` raises ConfigError if the path means no file. `read` raises DataError if the file is cut or malformed.
    """

    summary: str
    find: Callable[[Path], list[Path]]
    read: Callable[[Path, Reading], Iterator[Document | Skipped]]
