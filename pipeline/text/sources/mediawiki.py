"""A MediaWiki export as a stream of XML elements, from any stretch of the file, in flat memory.

In a dump the bytes `<page>` stand for nothing but the beginning of a page, since text is escaped. A stretch owns the pages that
begin in it: from its first `<page>` to the end of the page that is open at its end, wherever that lies. Between the head of
the dump and a closing tag they are a small dump of their own, which a real parser reads.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pipeline.core.errors import DataError
from pipeline.text.sources import files
from pipeline.text.sources.document import Span
from pipeline.text.sources.errors import CutError
from pipeline.text.sources.runs import note_cut, rewrite, runs, too_long

if TYPE_CHECKING:
    from lxml.etree import _Element

OPEN, CLOSE, END = b"<page>", b"</page>", b"</mediawiki>"
SITEINFO_END = b"</siteinfo>"
HEAD_BYTES = 1 << 22
"""Far more than a head has: 1 to 40 kB."""
TAG_BYTES = 1 << 20
"""Far more than a tag has; libxml2 takes time by the square of its length."""
PROLOG = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s++|<\?.*?\?>|<!--.*?-->)*+", re.DOTALL)
ROOT = re.compile(rb"<(?:[\w.-]+:)?([\w.-]+)(?=[\s/>])")
PAGE_TAGS = 1 << 20
"""A page has a few dozen; each takes a hundred bytes of memory."""
TAGS = ("{*}siteinfo", "{*}page", "{*}revision")
FOOT_BYTES = 100
"""Where the closing tag is looked for, whatever blanks follow it."""


def elements(path: Path, span: Span) -> Iterator["_Element"]:
    """Stream <siteinfo> and the pages that begin in a span, freeing each when the next is asked for.

    Of a page with many revisions the last is there.

    Raises: CutError if the dump is cut; DataError if it is damaged or no dump.
    """
    from lxml import etree

    # huge_tree: dumps are larger than libxml2's limits. UTF-8 whatever the file declares: borders are found in bytes.
    parser = etree.XMLPullParser(("end",), tag=TAGS, huge_tree=True, no_network=True, encoding="utf-8")
    waiting = tags = 0
    last = b""
    for chunk in _checked(_dump(path, span), path):
        try:
            parser.feed(chunk)
        except etree.XMLSyntaxError as error:
            raise _malformed(path, span, error.lineno, error.msg) from error
        waiting += len(chunk)
        tags += chunk.count(b"<")
        last = (last + chunk)[-FOOT_BYTES:]
        for _, element in cast("Iterator[tuple[str, _Element]]", parser.read_events()):
            waiting = tags = 0
            yield from _complete(element)
        if waiting > files.RECORD_BYTES or tags > PAGE_TAGS:
            raise DataError(
                f"{path}: {waiting >> 20} MB and {tags} tags without the end of a page, at most {files.RECORD_BYTES >> 20} MB and "
                f"{PAGE_TAGS} tags are read; name a dump of a wiki"
            )
    try:
        parser.close()
    except etree.XMLSyntaxError as error:
        if not last.rstrip().endswith(END):
            raise CutError(path, path.stat().st_size, "before the XML is complete") from error
        raise _malformed(path, span, error.lineno, error.msg) from error


def head(stream: Iterator[bytes], path: Path) -> tuple[bytes, bytes]:
    """Read the head of a dump, to the end of <siteinfo> or to the first page, and what was read beyond it.

    Raises: DataError if this is no dump, or if it has a DOCTYPE, with which XML can name files and grow without limit.
    """
    data = b""
    end = -1
    while end < 0 and len(data) <= HEAD_BYTES and (chunk := next(stream, b"")):
        data += chunk
        end = _head_end(data, len(data) - len(chunk) - len(SITEINFO_END))
    _require_mediawiki(data, path)
    end = len(data) if end < 0 else end
    return data[:end], data[end:]


def _head_end(data: bytes, begin: int) -> int:
    page = data.find(OPEN, max(0, begin))
    siteinfo = data.find(SITEINFO_END, max(0, begin), page if page >= 0 else len(data))
    return page if siteinfo < 0 else siteinfo + len(SITEINFO_END)


def whole_pages(stream: Iterable[bytes], more: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a stream up to the end of its last page, which may lie in what comes `more`.

    Raises: EOFError if that page does not end.
    """
    held, inside, seen = b"", False, False
    for chunk in stream:
        data = held + chunk
        closed, begun = data.rfind(CLOSE), data.rfind(OPEN)
        inside = begun > closed or (inside and closed < 0)
        seen = seen or begun >= 0
        keep = len(CLOSE) - 1 if inside else len(data) - (closed + len(CLOSE) if closed >= 0 else 0)
        keep = min(len(data), keep if keep <= files.CHUNK_BYTES else len(CLOSE) - 1)  # pages stand close together
        yield data[: len(data) - keep]
        held = data[len(data) - keep :]
    yield from _rest(held, inside, seen, more)


def unpack(path: Path, out: Path) -> None:
    """Rewrite a compressed dump as several small ones.

    Raises: DataError if it is damaged or no dump.
    """
    with files.opened(path) as stream:
        chunks = files.chunks(stream)
        try:
            start, rest = head(chunks, path)
        except CutError as error:
            note_cut(path, out, 0, error)
            return
        rewrite(path, out, _closed_pages(start, chain([rest], chunks), path), first=start, last=END + b"\n")


def _closed_pages(start: bytes, stream: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Yield runs of whole pages; what follows the last of them must end the dump."""
    ended = start.rstrip().endswith(END)
    for run in runs(stream, CLOSE, too_long(path, "page")):
        ended = run.rstrip().endswith(END)
        if run.endswith(CLOSE):
            yield run
    if not ended:
        raise CutError(path, path.stat().st_size, "before the XML is complete")


def _rest(held: bytes, inside: bool, seen: bool, more: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what is left when a stretch has ended: the rest of an open page, or nothing, unless something odd follows a page."""
    while not inside and _may_begin(held) and (chunk := next(more, b"")):
        held += chunk
        inside = held.lstrip().startswith(OPEN)
    if inside:
        yield from _to_page_end(held, more)
    elif seen and not END.startswith(held.strip()[: len(END)]):  # the parser shall say what it is
        yield held


def _may_begin(held: bytes) -> bool:
    bare = held.lstrip()
    return bool(bare) and OPEN.startswith(bare)


def _to_page_end(held: bytes, more: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chain([b""], more):
        held += chunk
        end = held.find(CLOSE)
        if end >= 0:
            yield held[: end + len(CLOSE)]
            return
        yield held[: 1 - len(CLOSE)]
        held = held[1 - len(CLOSE) :]
    yield held
    raise EOFError


def _dump(path: Path, span: Span) -> Iterator[bytes]:
    """Yield the pages of a span as a dump of its own."""
    size = path.stat().st_size
    with files.opened(path) as stream:
        start, rest = head(files.chunks(stream), path)
        yield start
        if span.begin == 0 and span.end >= size:
            yield rest
            yield from files.chunks(stream)
            return
    if start.rstrip().endswith(END):  # there is no page
        return
    with files.opened(path, span.begin, span.end) as stream, files.opened(path, span.end) as after:
        pages = _from_first_page(files.chunks(stream))
        if span.end >= size:
            yield from pages
            return
        try:
            yield from whole_pages(pages, files.chunks(after))
        except EOFError as error:
            raise CutError(path, size, "inside a page") from error
        yield END


def _from_first_page(stream: Iterator[bytes]) -> Iterator[bytes]:
    """Leave out what belongs to the page before; if there is no page, yield only what may be the beginning of one, or the foot."""
    tail = b""
    for chunk in stream:
        data = tail + chunk
        at = data.find(OPEN)
        if at >= 0:
            yield data[at:]
            yield from stream
            return
        tail = data[-FOOT_BYTES:]
    foot = tail.strip()
    if foot.endswith(END) or END.endswith(foot):
        yield END
    else:
        yield next((OPEN[:size] for size in range(len(OPEN) - 1, 0, -1) if tail.endswith(OPEN[:size])), b"")


def _checked(chunks: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """Refuse what would be read wrongly or slowly."""
    tag_bytes = 0
    for chunk in chunks:
        if b"\0" in chunk:
            raise DataError(
                f"{path}: the XML is malformed: it holds NUL bytes, as files do that were never filled; download it again"
            )
        begun = chunk.rfind(b"<")
        if chunk.rfind(b">") > begun:
            tag_bytes = 0
        elif begun >= 0:
            tag_bytes = len(chunk) - begun
        elif tag_bytes:
            tag_bytes += len(chunk)
        if tag_bytes > TAG_BYTES:
            raise DataError(f"{path}: the XML is malformed: a tag of more than {TAG_BYTES >> 20} MB; download it again")
        yield chunk


def _malformed(path: Path, span: Span, line: int | None, message: str | None) -> DataError:
    whole = span.begin == 0 and span.end >= path.stat().st_size
    place = f"at line {line}" if whole else f"in the pages that begin between bytes {span.begin} and {span.end}"
    return DataError(f"{path}: the XML is malformed {place} ({message}); download it again")


def _complete(element: "_Element") -> Iterator["_Element"]:
    """Yield a page or <siteinfo> and free it then; of a page with many revisions free all but the last."""
    parent = element.getparent()
    before = element.getprevious()
    if element.tag.endswith("revision"):
        if parent is not None and before is not None and before.tag == element.tag:
            parent.remove(before)
        return
    yield element
    element.clear()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _require_mediawiki(data: bytes, path: Path) -> None:
    begun = data[PROLOG.match(data).end() :]  # type: ignore[union-attr]
    if begun.startswith(b"<!DOCTYPE"):
        raise DataError(
            f"{path}: the XML has a DOCTYPE, which can name other files and entities that grow without limit; no dump has one: "
            "name a dump of a wiki"
        )
    root = ROOT.match(begun)
    if root and root[1] != b"mediawiki":
        raise DataError(
            f"{path}: the root element is <{root[1].decode(errors='replace')}>, expected <mediawiki>; name a dump of a wiki"
        )
    if (begun and not begun.startswith(b"<")) or (not root and len(data) > HEAD_BYTES):
        raise DataError(f"{path}: no XML (it begins with {begun[:20]!r}), expected <mediawiki>; name a dump of a wiki")
