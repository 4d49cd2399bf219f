"""Where text comes from. Adding a source: one file beside this one, one line in SOURCES."""

from pipeline.text.sources import books, columns, hub, jsonl, parquet, text, web, wikiextractor, wikipedia
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span

__all__ = ["SOURCES", "Document", "Reading", "Skipped", "Source", "Span"]

SOURCES: dict[str, Source] = {
    "wikipedia": wikipedia.SOURCE,
    "books": books.SOURCE,
    "text": text.SOURCE,
    "jsonl": jsonl.SOURCE,
    "csv": columns.SOURCE,
    "parquet": parquet.SOURCE,
    "huggingface": hub.SOURCE,
    "wikiextractor": wikiextractor.SOURCE,
    "warc": web.SOURCE,
}
