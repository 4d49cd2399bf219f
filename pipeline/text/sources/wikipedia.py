"""Wikipedia: MediaWiki XML dumps of any export schema, plain, .gz, .bz2 or multistream .bz2, in flat memory."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from pipeline.core.errors import DataError
from pipeline.text.clean import normalise
from pipeline.text.sources import files
from pipeline.text.sources.document import Document, Reading, Skipped, Source

if TYPE_CHECKING:
    from lxml.etree import _Element

CHUNK_BYTES = 1 << 18
# "#REDIRECT [[...]]" in any language: a word glued to '#' and followed by a link opens no article.
REDIRECT = re.compile(r"\s*#\s*(?:redirect\b|[^\W\d_]+\s*:?\s*\[\[)", re.IGNORECASE)
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


def find(path: Path) -> list[Path]:
    """List the dumps under a path; the index beside a multistream dump is none."""
    return files.find(path, r"\.xml[^.]*(\.bz2|\.gz)?$", "Wikipedia dump (.xml, .xml.bz2, .xml.gz)")


def read(path: Path, reading: Reading) -> Iterator[Document | Skipped]:
    """Stream the articles of a dump: namespace 0, no redirects, clean prose.

    Raises: DataError if the dump is cut, damaged or not the XML of a MediaWiki export.
    """
    from pipeline.text.sources.wikitext import prose

    site = Site()
    for element in _elements(path):
        if element.tag.endswith("siteinfo"):
            site = _site(element)
        elif _is_article(element, site):
            yield _document(element, site, reading, partial(prose, hidden=site.hidden))


def _document(page: "_Element", site: Site, reading: Reading, prose: Callable[[str], list[str]]) -> Document | Skipped:
    title = _text(page, "title")
    try:
        return Document(reading.source, normalise(title), site.url(title), prose(_wikitext(page)))
    except DataError as error:
        return Skipped(f"page {title!r} (id {_text(page, 'id')})", str(error))


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


def _elements(path: Path) -> Iterator["_Element"]:
    """Stream <siteinfo> and each <page>, freeing each when the next is asked for."""
    from lxml import etree

    # huge_tree: dumps are larger than libxml2's limits; its limit on the growth of entities stays
    parser = etree.XMLPullParser(("end",), tag=("{*}siteinfo", "{*}page"), huge_tree=True, no_network=True)
    consumed = 0
    try:
        with files.opened(path) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                consumed += len(chunk)
                parser.feed(chunk)
                for _, element in cast("Iterator[tuple[str, _Element]]", parser.read_events()):
                    yield element
                    _free(element)
        root = parser.close()  # raises what feed() has kept for itself
    except etree.XMLSyntaxError as error:
        raise DataError(
            f"{path}: the XML is cut or malformed at line {error.lineno}, before byte {consumed} ({error.msg}); download it again"
        ) from error
    name = etree.QName(root).localname
    if name != "mediawiki":
        raise DataError(f"{path}: the root element is <{name}>, expected <mediawiki>; name a dump of a wiki")


def _free(element: "_Element") -> None:
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


SOURCE = Source("Wikipedia's XML dumps (pages-articles .xml, .xml.bz2, .xml.gz), cleaned to prose.", find, read)
