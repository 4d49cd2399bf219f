"""What every reader does with a document that takes too long: here the making of one hangs that says so."""

import gzip
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.text import wikitext
from pipeline.text.sources import (
    SOURCES,
    Document,
    Reading,
    Skipped,
    Span,
    books,
    columns,
    ipc,
    jsonl,
    layout,
    parquet,
    text,
    web,
    wikiextractor,
)

WORDS = ("First", "Endless", "Last")
LIMIT_SECONDS = 0.5
LATE = f"took longer than {LIMIT_SECONDS:g} s; raise recipe.corpus.document_seconds if it should be kept"
HANGING_SECONDS = 30


def sentence(word: str) -> str:
    return f"{word} of all is this sentence, and long enough to be one."


def as_text() -> bytes:
    return "\n\n".join(map(sentence, WORDS)).encode()


def as_json_lines() -> bytes:
    return "\n".join(json.dumps({"text": sentence(word)}) for word in WORDS).encode()


def as_csv() -> bytes:
    return "\n".join(["text;title", *(f"{sentence(word)};" for word in WORDS)]).encode()


def as_parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": list(map(sentence, WORDS))}), sink)
    return sink.getvalue().to_pybytes()


def as_arrow() -> bytes:
    table = pa.table({"text": list(map(sentence, WORDS))})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def as_archive() -> bytes:
    head = "WARC/1.0\r\nWARC-Type: resource\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{}\r\n\r\n"
    pages = [f"<p>{sentence(word)}</p>" for word in WORDS]
    return "".join(head.format(len(page), page) for page in pages).encode()


def as_extracted_archive() -> bytes:
    return as_archive().replace(b"resource", b"conversion").replace(b"<p>", b"...").replace(b"</p>", b"....")


def as_wikiextractor() -> bytes:
    return "".join(f'<doc id="1" title="{word}">\n{sentence(word)}\n</doc>\n' for word in WORDS).encode()


def as_wikiextractor_json() -> bytes:
    return b"\n".join(json.dumps({"text": sentence(word), "title": word}).encode() for word in WORDS)


def hanging(make: Callable[..., Document]) -> Callable[..., Document]:
    def made(source: str, title: str, url: str, paragraphs: list[str], left_out: Mapping[str, int] = {}) -> Document:
        if any("Endless" in paragraph for paragraph in paragraphs):
            time.sleep(HANGING_SECONDS)
        return make(source, title, url, paragraphs, left_out)

    return made


READERS = {
    "text": ("text", "a.txt", as_text, text, "line 3"),
    "packed text": ("text", "a.txt.gz", lambda: gzip.compress(as_text()), text, "line 3"),
    "jsonl": ("jsonl", "a.jsonl", as_json_lines, jsonl, "the line at byte 70"),
    "csv": ("csv", "a.csv", as_csv, columns, "line 3"),
    "parquet": ("parquet", "a.parquet", as_parquet, parquet, "row 2"),
    "hub": ("huggingface", "a.arrow", as_arrow, ipc, "row 2"),
    "warc": ("warc", "a.warc", as_archive, web, "record at byte 146 ()"),
    "wet": ("warc", "a.wet", as_extracted_archive, web, "record at byte 148 ()"),
    "wikiextractor": ("wikiextractor", "wiki_00", as_wikiextractor, wikiextractor, "article 'Endless' (id 1)"),
    "its json": ("wikiextractor", "wiki_00", as_wikiextractor_json, jsonl, "the line at byte 88"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_document_that_takes_too_long_to_read_is_skipped_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kind, file_name, written, module, where = READERS[name]
    monkeypatch.setattr(module, "Document", hanging(Document))
    file = tmp_path / file_name
    file.write_bytes(written())
    first, late, last = read(kind, file)
    assert isinstance(first, Document)
    assert "First" in first.paragraphs[0]
    assert isinstance(last, Document)
    assert "Last" in last.paragraphs[0]
    assert late == Skipped(where, LATE)


def read(kind: str, file: Path) -> list[Document | Skipped]:
    whole = Span(0, 1 if kind == "parquet" else file.stat().st_size)
    return list(SOURCES[kind].read(file, whole, Reading("some", document_seconds=LIMIT_SECONDS)))


def test_a_page_of_a_dump_that_takes_too_long_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prose = wikitext.prose

    def endless(source: str, **how: object) -> object:
        if "Endless" in source:
            time.sleep(HANGING_SECONDS)
        return prose(source, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(wikitext, "prose", endless)
    page = "<page><title>{0}</title><ns>0</ns><id>7</id><revision><text>{1}</text></revision></page>"
    file = tmp_path / "a.xml"
    file.write_text(f"<mediawiki>{''.join(page.format(word, sentence(word)) for word in WORDS)}</mediawiki>")
    assert read("wikipedia", file) == [
        Document("some", "First", "", [sentence("First")]),
        Skipped("page 'Endless' (id 7)", LATE),
        Document("some", "Last", "", [sentence("Last")]),
    ]


def test_a_folder_of_pages_has_the_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "Document", hanging(Document))
    file = tmp_path / "a.html"
    file.write_text(f"<p>{sentence('Endless')}</p>")
    assert read("warc", file) == [Skipped("a.html", LATE)]


def test_of_a_file_of_books_those_before_the_endless_one_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = layout.Paragraphs.take

    def endless(self: layout.Paragraphs, body: str) -> list[str]:
        if "Endless" in body:
            time.sleep(HANGING_SECONDS)
        return take(self, body)

    monkeypatch.setattr(layout.Paragraphs, "take", endless)
    frame = (
        "*** START OF THIS PROJECT GUTENBERG EBOOK {0} ***\n\n{1}\n\n*** END OF THIS PROJECT GUTENBERG EBOOK {0} ***\n"
    )
    file = tmp_path / "a.txt"
    file.write_text("".join(frame.format(word, sentence(word)) for word in WORDS))
    kept, late = read("books", file)
    assert isinstance(kept, Document)
    assert kept.paragraphs == [sentence("First")]
    assert late == Skipped("file 'a.txt', from here on", LATE)


def test_what_is_of_no_use_before_a_document_is_not_counted_as_its_time(tmp_path: Path) -> None:
    record = "WARC/1.0\r\nWARC-Type: request\r\nContent-Length: 2\r\n\r\n..\r\n\r\n"
    file = tmp_path / "a.warc"
    file.write_bytes(record.encode() * 20_000 + as_archive())
    found = list(SOURCES["warc"].read(file, Span(0, file.stat().st_size), Reading("some", document_seconds=0.2)))
    assert len(found) == 3
    assert all(isinstance(document, Document) for document in found)


@pytest.mark.parametrize("module", [text, jsonl, columns, parquet, ipc, web, wikiextractor, books])
def test_every_reader_takes_its_documents_from_here(module: ModuleType) -> None:
    assert hasattr(module, "deadline")
