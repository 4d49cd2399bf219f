"""Wikipedia: MediaWiki XML dumps of any export schema, plain, .gz, .bz2 or multistream .bz2, in flat memory."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pipeline.text.clean import normalise
from pipeline.text.sources import deadline, files, mediawiki, multistream
from pipeline.text.sources.document import Document, Reading, Skipped, Source, Span, uncut

if TYPE_CHECKING:
    from lxml.etree import _Element

# "#REDIRECT [[...]]" in any language: a word glued to '#' and followed by a link opens no article.
REDIRECT = re.compile(r"\s*#\s*(?:redirect\b|[^\W\d_]++\s*+:?\s*+\[\[)", re.IGNORECASE)
KINDS = r"user|wikipedia|project|file|image|mediawiki|template|help|category|portal|book|draft|module|timedtext"
NAMESPACE = re.compile(rf"(?:{KINDS})(?: talk)?|talk|media|special", re.IGNORECASE)
"""Prefixes of titles outside namespace 0, for old dumps that neither number nor list their namespaces."""
HIDDEN_KEYS = ("6", "14")
"""Namespaces of pictures and categories: links into them show no words."""


@dataclass(frozen=True)
class Site:
    """What a dump says about itself in <siteinfo>; the defaults are for dumps without one."""

    base: str = ""
    namespaces: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()

    def url(self, title: str) -> str:
        """Say where an article stands; nowhere, if the dump does not name its site."""
        return self.base + quote(title.replace(" ", "_"), safe="/:,;@!*()'") if self.base else ""

    def is_article(self, title: str) -> bool:
        """Tell by its prefix whether a title stands in namespace 0."""
        prefix, colon, _ = title.partition(":")
        prefix = prefix.strip()
        return not (colon and (prefix.casefold() in self.namespaces or NAMESPACE.fullmatch(prefix)))


def find(path: Path, split: str) -> list[Path]:
    """List the dumps under a path; the index beside a multistream dump is none."""
    return files.find(path, r"\.xml[^.]*(\.bz2|\.gz)?$", "Wikipedia dump (.xml, .xml.bz2, .xml.gz)")


def cut(path: Path) -> list[Span]:
    """Cut a plain dump between pages and a multistream one between streams; other long ones must be unpacked.

    Raises: DataError if the file is not what its name says.
    """
    compression = files.compression(path)
    if not compression:
        return files.cut_at(path, mediawiki.OPEN, 0)
    spans = multistream.cut(path) if compression == ".bz2" else uncut(path)
    return spans if len(spans) > 1 or files.is_short(path) else []


def read(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the articles that begin in a span of a dump: namespace 0, no redirects, clean prose.

    Raises: DataError if the dump is cut, damaged or not the XML of a MediaWiki export.
    """
    return files.whole_or_kept(_articles(path, span, reading), reading)


def _articles(path: Path, span: Span, reading: Reading) -> Iterator[Document | Skipped]:
    import pipeline.text.wikitext  # noqa: F401 - loads its tables in nobody's time

    site = Site()

    def made(element: "_Element") -> Document | None:
        nonlocal site
        if element.tag.endswith("siteinfo"):
            site = _site(element)
        elif _is_article(element, site):
            return _document(element, site, reading)
        return None

    return deadline.made(mediawiki.elements(path, span), made, _where, reading.document_seconds)


def _where(page: "_Element") -> str:
    return f"page {_text(page, 'title')!r} (id {_text(page, 'id')})"


def _document(page: "_Element", site: Site, reading: Reading) -> Document:
    from pipeline.text.wikitext import prose

    title = _text(page, "title")
    found = prose(_wikitext(page), hidden=site.hidden, list_items=reading.list_items)
    return Document(reading.source, normalise(title), site.url(title), found.paragraphs, found.left_out)


def _is_article(page: "_Element", site: Site) -> bool:
    namespace = _text(page, "ns")
    if namespace != "0" and (namespace or not site.is_article(_text(page, "title"))):
        return False
    if page.find("{*}redirect") is not None or REDIRECT.match(_wikitext(page)):
        return False
    return _text(page, "{*}revision/{*}model") in ("", "wikitext")


def _site(siteinfo: "_Element") -> Site:
    names = {e.get("key", ""): (e.text or "").casefold() for e in siteinfo.iterfind("{*}namespaces/{*}namespace")}
    base = _text(siteinfo, "base").rpartition("/")[0]
    return Site(
        base=base + "/" if base else "",
        namespaces=frozenset(name for name in names.values() if name),
        hidden=frozenset(names[key] for key in HIDDEN_KEYS if names.get(key)),
    )


def _wikitext(page: "_Element") -> str:
    revisions = page.findall("{*}revision")
    return _text(revisions[-1], "text") if revisions else ""


def _text(element: "_Element", name: str) -> str:
    return element.findtext(name if name.startswith("{") else "{*}" + name) or ""


SOURCE = Source(
    "Wikipedia's XML dumps (pages-articles .xml, .xml.bz2, .xml.gz), cleaned to prose.",
    find,
    read,
    cut,
    mediawiki.unpack,
)
