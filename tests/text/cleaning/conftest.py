"""Documents and texts for the cleaning tests, and where the real ones are."""

import bz2
import gzip
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.text.sources.document import Document


@pytest.fixture
def document() -> Callable[..., Document]:
    """Make a document of the given paragraphs."""
    return lambda *paragraphs: Document("test", "A title", "", list(paragraphs))


@pytest.fixture(scope="session")
def real_lines(shared_data: Path) -> list[str]:
    """Lines of everything among the real data that is text: books, dumps, tables, in the encodings they came in."""
    return [line for path in sorted(shared_data.rglob("*")) if path.is_file() for line in _lines(path)]


def _lines(path: Path) -> Iterator[str]:
    for data in _contents(path):
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1") if path.suffix in (".zst", ".txt", ".tsv") else ""
        yield from text.split("\n")


def _contents(path: Path) -> Iterator[bytes]:
    if path.name.endswith(".tar.zst"):
        with (
            pa.input_stream(str(path), compression="zstd") as stream,
            tarfile.open(fileobj=stream, mode="r|") as archive,
        ):
            yield from (file.read() for member in archive if (file := archive.extractfile(member)))
    elif path.suffix == ".gz":
        yield gzip.decompress(path.read_bytes())
    elif path.suffix == ".bz2":
        yield bz2.decompress(path.read_bytes())
    elif path.suffix not in (".npz", ".parquet"):
        yield path.read_bytes()
