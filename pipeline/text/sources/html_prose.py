"""From HTML to prose: the blocks of a page that are sentences; no menus, headings, scripts and forms."""

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

from lxml import etree

# What shows nothing, or nothing of the page's own, as regular expressions of tags.
SILENT = re.compile(
    "script|style|noscript|template|head|button|select|option|textarea|svg|math|canvas|iframe|object|video|audio|map"
)
AROUND = re.compile("nav|header|footer|aside|figcaption|dialog|menu")
HEADING = re.compile("h[1-6]")
BLOCK = re.compile(
    "html|body|main|article|section|div|p|h[1-6]|[uod]l|li|d[td]|blockquote|pre|address|center|hr|figure|fieldset|form"
    "|details|summary|table|tbody|tr|t[dh]"
)
# As a browser reads it: a quotation mark means something after "=" only.
TAG = re.compile(r"""<[a-zA-Z](?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+')?+)*+""")
QUOTED = re.compile(r"""=\s*+(?:"[^"]*+"|'[^']*+')""")
MOST_ATTRIBUTES = 500
"""Of one tag. libxml2 compares each with all before it: 40,000 took 23 seconds, in which nothing could stop it."""
LINE_BREAK = "\v"
EMPTY_LINE = re.compile(rf"{LINE_BREAK}\s*{LINE_BREAK}")
SENTENCE_ENDS = frozenset(".!?:…\"”'’»)。！？")
FEWEST_WORDS = 8
"""A block of fewer words that does not end as a sentence is a label."""
MOST_LINKED = 0.5
"""Of the characters of a block; a menu has more."""


@dataclass
class Prose:
    """What was taken out of a page, and how many blocks were left out, by kind."""

    title: str = ""
    paragraphs: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass
class _Block:
    texts: list[str] = field(default_factory=list)
    linked: int = 0


def is_crowded(page: str) -> bool:
    """Tell whether a tag may have more than MOST_ATTRIBUTES."""
    return any(
        len(tag[0]) > 2 * MOST_ATTRIBUTES and len(QUOTED.sub("= ", tag[0]).replace("/", " ").split()) > MOST_ATTRIBUTES
        for tag in TAG.finditer(page)
    )


def prose(page: str) -> Prose | None:
    """Take the paragraphs of prose out of a page; None if there is no page in it at all."""
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(page.encode("utf-8", "replace").replace(b"\0", b""), parser)
    except etree.XMLSyntaxError:
        return None
    if root is None or root.find(".//*") is None:
        return None
    found = Prose(title=root.findtext(".//title") or "")
    block = _Block()
    links = 0
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        tag = element.tag
        ends_block, silent = _role(tag)
        if ends_block and block.texts:
            _finish(block, tag if event == "end" else "", found)
            block = _Block()
        if silent and event == "start":
            walk.skip_subtree()
            continue
        links += (tag == "a") * (1 if event == "start" else -1)
        text = (element.text if event == "start" else element.tail) or ""
        if tag == "br" and event == "end":
            text = LINE_BREAK + text
        if text:
            block.texts.append(text)
            block.linked += len(text) if links else 0
    _finish(block, "", found)
    return found


@lru_cache(maxsize=1024)
def _role(tag: str) -> tuple[bool, bool]:
    """Say whether a tag ends a block, and whether what is in it is left out."""
    around = bool(AROUND.fullmatch(tag))
    return around or bool(BLOCK.fullmatch(tag)), around or bool(SILENT.fullmatch(tag))


def _finish(block: _Block, tag: str, found: Prose) -> None:
    """Keep what of a block is prose, and count the rest; two line breaks in a row make two paragraphs."""
    linked = block.linked / (sum(map(len, block.texts)) or 1)
    for part in EMPTY_LINE.split("".join(block.texts)):
        text = " ".join(part.split())
        kind = _kind(text, linked, tag) if text else ""
        if kind:
            found.left_out[kind] += 1
        elif text:
            found.paragraphs.append(text)


def _kind(text: str, linked: float, tag: str) -> str:
    if HEADING.fullmatch(tag):
        return "headings"
    if linked > MOST_LINKED:
        return "menus"
    if text[-1] not in SENTENCE_ENDS and text.count(" ") + 1 < FEWEST_WORDS:
        return "labels"
    return ""
