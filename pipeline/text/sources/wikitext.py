"""From wikitext to prose: what a reader of the page would read aloud.

Templates, tables, notes, pictures, formulas, categories and headings vanish; the words of links stay. What a template leaves
behind in a sentence, such as "( , )", is mended.
"""

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import mwparserfromhell
from mwparserfromhell import nodes
from mwparserfromhell.parser import ParserError

from pipeline.core.errors import DataError
from pipeline.text.clean import normalise

HIDDEN = frozenset({"file", "image", "category"})
ITEM = "\x01"
"""Stands in front of a list item; no wikitext holds it, since XML cannot."""

SILENT = (
    "ref|references|gallery|math|chem|ce|table|timeline|score|imagemap|syntaxhighlight|source|pre|hiero|inputbox|graph|mapframe"
    "|maplink|templatestyles|style|script|includeonly|categorytree|indicator|section"
)
BREAKS = "table|h[1-6]"
BLOCKS = "blockquote|center|div|p|poem|ul|ol|dl|hr"
INLINE = "span|small|big|sub|sup|b|i|u|s|em|strong|font|code|tt|kbd|var|cite|abbr|br|nowiki|noinclude|onlyinclude"

# Taken out before parsing: parsing is then three times faster, and broken wikitext in a note cannot spoil the article around it.
COMMENT = re.compile(r"^[ \t]*<!--.*?-->[ \t]*\n|<!--.*?(?:-->|\Z)", re.DOTALL | re.MULTILINE)
SILENT_TAG = re.compile(rf"<({SILENT})\b[^<>]*?(?:/>|>.*?</\1\s*>)", re.DOTALL | re.IGNORECASE)
STRAY = re.compile(
    rf"</?(?:{SILENT}|{BREAKS}|{BLOCKS}|{INLINE})\b[^<>]*>|\[\[(?:[^\[\]|\n]*\|)?|\]\]|\{{\{{|\}}\}}|__[A-Z]+__|'{{5}}|'{{2,3}}",
    re.IGNORECASE,
)
RUBBLE = re.compile(r"\||\{\||=+[^=].*=+$|.*<t[rdh]\b", re.IGNORECASE)
"""Lines of tables and headings that the parser did not see as such, because they are cut or indented."""
PICTURE = re.compile(r"\.(?:jpe?g|png|gif|svg|tiff?|webp|xcf|djvu|pdf|og[gva]|webm|mid|flac|wav)\s*$", re.IGNORECASE)
LANGUAGE_LINK = re.compile(r"(?:[a-z]{2,3}|simple|tokipona)(?:-[a-z-]+)?:\S")
SPOKEN: dict[str, str] = {
    "lang": "$2", "nowrap": "$1", "transl": "$2", "nihongo": "$1", "vanchor": "$1", "small": "$1", "angbr": "$1",
    "quote": "\n\n$1\n\n", "blockquote": "\n\n$1\n\n", "cquote": "\n\n$1\n\n", "as of": "As of $1", "convert": "$1 $2", "cvt": "$1 $2",
    "·": " · ", "-": "", "ndash": "–", "mdash": "—", "nbsp": " ",
}  # fmt: skip
"""Templates that stand for words of a sentence; all others are silent."""
RANGES = frozenset({"-", "–", "to", "and", "or", "x", "by"})

SENTENCE = re.compile(r"""^(?:\S+\s+){3}.*[.!?…][)\]"'”’»]*$|[。！？]""")
DEBRIS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mended)
    for pattern, mended in (
        (r"\(\s*(?:[,;:·]\s*|[–/-](?:\s+|(?=\))))+", "("),
        (r"(?:\s*[,;:·]|\s+[–/-])*\s*\)", ")"),
        (r"\(\s+", "("),
        (r"(?<=\()\(\)|(?:^|\s+)(?:\(\)|\[\s*\])", ""),  # main() and argv[] stay
        (r"([,;])(?:\s*[,;])+(?=\s|$)", r"\1"),
        (r"\s+([,.])(?=\s|$)", r"\1"),
        (r"^[,;:]+\s*|^[–-]\s+", ""),
        (r"  +", " "),
    )
)


def prose(wikitext: str, hidden: frozenset[str] = frozenset()) -> list[str]:
    """Take the paragraphs of prose out of the wikitext of a page.

    `hidden` are the prefixes, in lower case, that mark links to pictures and categories in the wiki's own language. List items
    become paragraphs only where they look like sentences.

    Raises: DataError if the wikitext cannot be parsed.
    """
    bare = SILENT_TAG.sub("", COMMENT.sub("", wikitext))
    try:
        text = _Speaker(HIDDEN | hidden).say(mwparserfromhell.parse(bare, skip_style_tags=True))
    except (ParserError, RecursionError) as error:
        raise DataError(f"the wikitext cannot be parsed ({error})") from error
    return [clean for block in _blocks(text) if (clean := _mend(normalise(block))) and any(map(str.isalpha, clean))]


class _Speaker:
    """Says aloud what each kind of node shows; holds the prefixes of links that show nothing."""

    def __init__(self, hidden: frozenset[str]) -> None:
        self.hidden = hidden
        self.by_kind: dict[type, Callable[[Any], str]] = {
            nodes.Text: lambda node: STRAY.sub("", node.value),
            nodes.HTMLEntity: lambda node: html.unescape(str(node)),
            nodes.Wikilink: self._link,
            nodes.ExternalLink: self._external_link,
            nodes.Tag: self._tag,
            nodes.Template: self._template,
            nodes.Heading: lambda node: "\n\n",
        }

    def say(self, code: Any) -> str:
        return "".join(self.by_kind.get(type(node), _silence)(node) for node in code.nodes) if code is not None else ""

    def _link(self, node: Any) -> str:
        title = str(node.title).strip()
        prefix, colon, _ = title.partition(":")
        if colon and prefix and (prefix.strip().casefold() in self.hidden or PICTURE.search(title)):
            return ""
        if node.text is None and LANGUAGE_LINK.match(title):
            return ""
        return self.say(node.text) or self.say(node.title).strip().lstrip(":")

    def _external_link(self, node: Any) -> str:
        return self.say(node.title) if node.brackets else str(node.url)

    def _tag(self, node: Any) -> str:
        name = str(node.tag).strip().lower()
        if name in ("li", "dt", "dd"):
            return ITEM if node.wiki_markup else f"\n{ITEM}{self.say(node.contents)}\n"
        if re.fullmatch(BREAKS, name):
            return "\n\n"
        if re.fullmatch(SILENT, name):
            return ""
        if name == "br":
            return " "
        inside = self.say(node.contents)
        return f"\n\n{inside}\n\n" if re.fullmatch(BLOCKS, name) else inside

    def _template(self, node: Any) -> str:
        name = str(node.name).strip().replace("_", " ").lower()
        spoken = SPOKEN.get(name, "")
        if name in ("convert", "cvt") and node.has("2") and str(node.get("2").value).strip() in RANGES:
            spoken = "$1 $2 $3 $4"
        return re.sub(r"\$(\d)", lambda place: self._parameter(node, place[1]), spoken)

    def _parameter(self, node: Any, name: str) -> str:
        return self.say(node.get(name).value).strip() if node.has(name) else ""


def _silence(node: Any) -> str:
    return ""


def _blocks(text: str) -> Iterator[str]:
    """Join the lines of a paragraph, end it at blank lines and list items, and leave out rubble."""
    lines: list[str] = []
    for line in (*text.split("\n"), ""):
        bare = line.strip()
        if bare and not bare.startswith(ITEM) and not RUBBLE.match(bare):
            lines.append(bare)
            continue
        yield " ".join(lines)
        lines = []
        item = bare.rpartition(ITEM)[2].strip()  # the definition, not the term before it
        if bare.startswith(ITEM) and SENTENCE.search(item) and "ISBN" not in item:
            yield item


def _mend(text: str) -> str:
    """Repair sentences around what vanished, until nothing changes: brackets nest."""
    before = ""
    while text != before:
        before = text
        for pattern, mended in DEBRIS:
            text = pattern.sub(mended, text)
        text = text.strip()
    return text
