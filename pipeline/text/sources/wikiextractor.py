"""What WikiExtractor wrote: articles between <doc> and </doc>, or, with its --json, a JSON object a line."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from pipeline.core.errors import DataError
from pipeline.text.clean import normalise
from pipeline.text.sources import deadline, files, jsonl
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span, uncut
from pipeline.text.sources.errors import CutError
from pipeline.text.sources.runs import runs, too_long

OPENING = re.compile(
    r'<doc (?:id="(?P<id>[^"]*)"\s*)?(?:revid="[^"]*"\s*)?(?:url="(?P<url>[^"]*)"\s*)?(?:title="(?P<title>.*)")?\s*>\s*'
)
CLOSING = "</doc>"
JOINED = "</doc><doc "
"""Where files without a last line end were put together."""
TAG = re.compile(
    r"</?(?:templatestyles|ref|br|nowiki|math|gallery|onlyinclude|noinclude|section|div|span)\b[^<>]*>", re.IGNORECASE
)
UNDECODED = "\ufffd"
ESCAPES = 3
"""How often entities may have been escaped: in the dump, in its wikitext, and once more by WikiExtractor."""

Article: TypeAlias = tuple[re.Match[str], list[str]]
"""How it opens, and its lines."""


def find(path: Path, split: str) -> list[Path]:
    """List WikiExtractor's files under a path."""
    return files.find(path, r"^wiki_\d+(\.bz2|\.gz)?$", "output of WikiExtractor (AA/wiki_00, wiki_00.bz2)")


def cut(path: Path) -> list[Span]:
    """Cut a plain file between articles.

    Raises: DataError if the file is not what its name says.
    """
    if files.compression(path):
        return uncut(path)
    return files.cut_at(path, b"\n", 1) if _is_json(path) else files.cut_at(path, b"\n<doc ", 1)


def read(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the articles in a span of a file, without their titles; entities are decoded however often they were escaped.

    Raises: DataError if the file is cut or damaged, or holds no articles.
    """
    if _is_json(path):
        found = jsonl.read(path, span, reading)
        return deadline.made(found, _decoded, _whose, reading.document_seconds)
    made = deadline.made(
        _articles(path, span),
        lambda article: article if isinstance(article, Skipped) else _document(*article, reading),
        lambda article: article.where if isinstance(article, Skipped) else _where(article[0]),
        reading.document_seconds,
    )
    return files.whole_or_kept(made, reading)


def _is_json(path: Path) -> bool:
    with files.opened(path) as stream:
        return stream.peek(1)[:1] == b"{"


def _articles(path: Path, span: Span) -> Iterator[Skipped | Article]:
    opening: re.Match[str] | None = None
    lines: list[str] = []
    found_any = False
    for line in _lines(path, span):
        begins = OPENING.fullmatch(line) if line.startswith("<doc ") else None
        if begins or line == CLOSING:
            if opening:
                yield Skipped(_where(opening), f"no {CLOSING} before the next one") if begins else (opening, lines)
            opening, lines, found_any = begins, [], True
        elif opening:
            lines.append(line)
        elif line:
            yield from [] if found_any else _refuse(path)
            yield Skipped(f"the line {line[:60]!r}", "text outside of an article")
    if opening:
        raise CutError(path, min(span.end, path.stat().st_size), f"within {_where(opening)}")


def _refuse(path: Path) -> Iterator[Skipped]:
    raise DataError(
        f"{path}: does not begin with <doc or {{; name files that WikiExtractor wrote, or another kind of source"
    )


def _lines(path: Path, span: Span) -> Iterator[str]:
    """Yield the lines of a span without the blanks around them; what is not UTF-8 is marked as such."""
    with files.opened(path, span.begin, span.end) as stream:
        for run in runs(files.chunks(stream), b"\n", too_long(path, "line")):
            text = run.decode(errors="replace").replace(JOINED, JOINED.replace("><", ">\n<"))
            for line in text.split("\n"):
                if bare := line.strip("\ufeff \t\r\n"):
                    yield bare


def _document(opening: re.Match[str], lines: list[str], reading: Reading) -> Document | Skipped:
    if any(UNDECODED in line for line in lines):
        return Skipped(_where(opening), "not UTF-8")
    title = _decode(opening["title"] or "")
    if lines and _decode(lines[0]) == title:
        del lines[0]
    return Document(reading.source, normalise(title), _decode(opening["url"] or ""), _paragraphs(lines))


def _where(opening: re.Match[str]) -> str:
    return f"article {opening['title']!r} (id {opening['id']})"


def _whose(found: Document | Skipped) -> str:
    return found.where if isinstance(found, Skipped) else f"article {found.title!r}"


def _decoded(found: Document | Skipped) -> Document | Skipped:
    """Decode what --json left escaped, and drop the title from the text as for the other form."""
    if isinstance(found, Skipped):
        return found
    title = _decode(found.title)
    first = found.paragraphs[:1] == [found.title]
    return found._replace(title=title, paragraphs=_paragraphs(found.paragraphs[first:]))


def _paragraphs(lines: list[str]) -> list[str]:
    return [text for line in lines if (text := _decode(line))]


def _decode(text: str) -> str:
    for _ in range(ESCAPES):
        if "&" not in text:
            break
        text = html.unescape(text)
    return TAG.sub("", text).strip() if "<" in text else text


SOURCE = Source("What WikiExtractor wrote, also with --json.", find, read, cut)
