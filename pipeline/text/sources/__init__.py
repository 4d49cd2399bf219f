"""Where text comes from. Adding a source: one file beside this one, one line in SOURCES."""

from pipeline.text.sources import books, jsonl, parquet, text, wikipedia
from pipeline.text.sources.document import Document, Reading, Skipped, Source

__all__ = ["SOURCES", "Document", "Reading", "Skipped", "Source"]

SOURCES: dict[str, Source] = {
    "wikipedia": wikipedia.SOURCE,
    "books": books.SOURCE,
    "text": text.SOURCE,
    "jsonl": jsonl.SOURCE,
    "parquet": parquet.SOURCE,
}
