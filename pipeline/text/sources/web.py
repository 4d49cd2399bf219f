"""Pages of the web: archives of crawls (WARC, and WET with its bare text) and folders of HTML.

Of archives only what is needed is read: responses that are HTML and were found, and text that somebody extracted before.
Source: ISO 28500, The WARC File Format.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.text.clean import normalise
from pipeline.text.sources import charset, deadline, files
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span
from pipeline.text.sources.errors import CutError

PAGE = re.compile(r"\.x?html?(?:\.gz)?$", re.IGNORECASE)
PAGE_BYTES = 16 << 20
"""A longer page is skipped; crawls cut pages at 1 to 5 MB."""
LINE_BYTES = 1 << 16
HEADER_LINES = 1000
HTML_TYPES = ("text/html", "application/xhtml+xml")
CHARSET = re.compile(rb"charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
META_BYTES = 4096
LENGTH = re.compile(r"[0-9]{1,18}")
"""Of a record: what is longer than an exabyte is none."""
WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}

Headers = Mapping[str, str]


@dataclass(frozen=True)
class _Record:
    """One record of an archive; `body` is None if it is too long or of no use."""

    headers: Headers
    body: bytes | None
    begin: int

    @property
    def url(self) -> str:
        return self.headers.get("warc-target-uri", "").strip("<>")

    @property
    def where(self) -> str:
        return f"record at byte {self.begin} ({self.url})"


def find(path: Path, split: str) -> list[Path]:
    """List the archives and pages under a path."""
    names = r"\.(?:warc|wet)(?:\.gz)?$|\.x?html?(?:\.gz)?$"
    return files.find(path, names, "web archive or page (.warc, .warc.gz, .wet.gz, .html)")


def read(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the pages of an archive, or the one of a file, without menus.

    Raises: DataError if the file is cut or damaged.
    """
    import pipeline.text.sources.html_prose  # noqa: F401 - loads the parser in nobody's time

    pages = _single if PAGE.search(path.name) else _archived
    return files.whole_or_kept(pages(path, reading), reading)


def _single(path: Path, reading: Reading) -> Iterator[Document | Skipped]:
    data = b""
    with files.opened(path) as stream:
        for chunk in files.chunks(stream):
            data += chunk
            if len(data) > PAGE_BYTES:
                yield Skipped(f"file {path.name!r}", f"longer than {PAGE_BYTES >> 20} MB")
                return
    yield from deadline.made(
        [data], lambda data: _page(data, "", reading, path.name, ""), lambda _: path.name, reading.document_seconds
    )


def _archived(path: Path, reading: Reading) -> Iterator[Document | Skipped]:
    with files.opened(path) as stream:
        yield from deadline.made(
            _records(path, stream),
            lambda record: _archived_page(record, reading),
            lambda record: record.where,
            reading.document_seconds,
        )


def _archived_page(record: _Record, reading: Reading) -> Document | Skipped | None:
    if record.body is None:
        return Skipped(record.where, f"longer than {PAGE_BYTES >> 20} MB")
    if record.headers.get("warc-type") == "conversion":
        lines = [line for line in record.body.decode(errors="replace").split("\n") if line and not line.isspace()]
        return Document(reading.source, record.url, record.url, lines)
    return _response(record, reading)


def _response(record: _Record, reading: Reading) -> Document | Skipped | None:
    """Make a document of a page that was found; nothing of redirections, errors and pictures."""
    headers, body = record.headers, record.body or b""
    if record.headers.get("content-type", "").startswith("application/http"):
        head, _, body = body.partition(b"\r\n\r\n")
        status, _, rest = head.partition(b"\r\n")
        headers = _fields(rest.split(b"\r\n"))
        if status.split(b" ")[1:2] != [b"200"]:
            return None
    if not headers.get("content-type", "").lower().startswith(HTML_TYPES):
        return None
    try:
        return _page(_unpacked(body, headers), headers["content-type"], reading, record.where, record.url)
    except (zlib.error, ValueError) as error:
        return Skipped(record.where, f"its body cannot be decoded ({error})")


def _records(path: Path, stream: BufferedReader) -> Iterator[_Record]:
    """Yield the records that may hold a page.

    Raises: CutError if the last one is not whole; DataError if there is something else than records.
    """
    byte = 0
    while line := stream.readline(LINE_BYTES):
        begin = byte
        byte += len(line)
        if not line.strip():
            continue
        if not line.endswith(b"\n") and b"WARC/1.1\r".startswith(line[:9]):
            raise CutError(path, byte, "within a WARC record")
        if not line.startswith(b"WARC/"):
            raise DataError(
                f"{path}: no WARC record at byte {begin} ({line[:20]!r}); download it again, or name another kind of source"
            )
        headers, size = _header(path, stream, byte)
        length = headers.get("content-length", "")
        if not LENGTH.fullmatch(length):
            raise DataError(
                f"{path}: the WARC record at byte {begin} has no Content-Length that is a number ({length[:20]!r}); download it again"
            )
        body, read = _body(stream, int(length))
        byte += size + read
        if read < int(length):
            raise CutError(path, byte, "within a WARC record")
        if headers.get("warc-type") in ("response", "resource", "conversion"):
            yield _Record(headers, body, begin)


def _header(path: Path, stream: BufferedReader, begin: int) -> tuple[Headers, int]:
    lines: list[bytes] = []
    size = 0
    for _ in range(HEADER_LINES):
        line = stream.readline(LINE_BYTES)
        size += len(line)
        if not line.endswith(b"\n"):
            raise CutError(path, begin + size, "within the header of a WARC record")
        if not line.strip():
            break
        lines.append(line)
    return _fields(lines), size


def _fields(lines: list[bytes]) -> Headers:
    pairs = (line.decode(errors="replace").partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _body(stream: BufferedReader, length: int) -> tuple[bytes | None, int]:
    """Read a record, or only past it if it is too long; tell how much there was."""
    if length <= PAGE_BYTES:
        body = stream.read(length)
        return body, len(body)
    read = 0
    while read < length and (chunk := stream.read(min(files.CHUNK_BYTES, length - read))):
        read += len(chunk)
    return None, read


def _unpacked(body: bytes, headers: Headers) -> bytes:
    """Undo what a server did to a body to send it.

    Raises: ValueError or zlib.error if that is not possible.
    """
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _joined(body)
    packing = headers.get("content-encoding", "identity").lower()
    if packing in ("", "identity"):
        return body
    if packing not in WINDOW_BITS:
        raise ValueError(f"packed as {packing}, which is not known here")
    unpacker = zlib.decompressobj(WINDOW_BITS[packing])
    page = unpacker.decompress(body, PAGE_BYTES)
    if unpacker.unconsumed_tail:
        raise ValueError(f"unpacked it is longer than {PAGE_BYTES >> 20} MB")
    return page


def _joined(body: bytes) -> bytes:
    """Join a body that was sent in chunks; archives often hold it joined already."""
    chunks: list[bytes] = []
    at = 0
    while True:
        end = body.find(b"\r\n", at)
        try:
            length = int(body[at:end].split(b";")[0], 16)
        except ValueError:
            return body if not chunks else b"".join(chunks)
        if end < 0 or length <= 0:
            return b"".join(chunks)
        chunks.append(body[end + 2 : end + 2 + length])
        at = end + 4 + length


def _page(data: bytes, content_type: str, reading: Reading, where: str, url: str) -> Document | Skipped:
    from pipeline.text.sources.html_prose import MOST_ATTRIBUTES, is_crowded, prose

    text = _decode(data, content_type)
    if is_crowded(text):
        return Skipped(where, f"a tag with more than {MOST_ATTRIBUTES} attributes, at most so many are read")
    found = prose(text)
    if found is None:
        return Skipped(where, "not HTML")
    return Document(reading.source, normalise(found.title) or url or where, url, found.paragraphs, found.left_out)


def _decode(data: bytes, content_type: str) -> str:
    """Decode a page as its server says, else as it says itself, else as UTF-8 or, as browsers do, cp1252."""
    declared = CHARSET.search(content_type.encode()) or CHARSET.search(data, 0, META_BYTES)
    for name in (charset.of_the_web(declared[1].decode()) if declared else None, "utf-8"):
        try:
            if name:
                return data.decode(name)
        except UnicodeError:
            continue
    return data.decode("cp1252", errors="replace")


SOURCE = Source("Pages of the web: archives (.warc, .wet) and folders of HTML files, without menus.", find, read)
