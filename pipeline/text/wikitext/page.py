"""A page of wikitext into its paragraphs of prose, and a count of what was left out."""

import html
import re
from collections import Counter
from dataclasses import dataclass

from pipeline.text.wikitext import inline, lines
from pipeline.text.wikitext.brackets import Brackets
from pipeline.text.wikitext.lines import ListItems
from pipeline.text.wikitext.mending import mend
from pipeline.text.wikitext.spoken import HOLE, LOST
from pipeline.text.wikitext.tags import Shielded

LETTER = re.compile(r"[^\W\d_]")
ESCAPED = "&lt;/ref&gt;"
"""A page that has its notes like this, and none as tags, was escaped once too often on its way here."""
ESCAPES = re.compile(r"&(?:lt|gt|amp|quot);")
OUR_MARKS = str.maketrans("", "", HOLE + LOST)


@dataclass(frozen=True)
class Prose:
    """The paragraphs of a page, without markup, and how many templates, tables, references, ... it lost."""

    paragraphs: list[str]
    left_out: Counter[str]


def prose(wikitext: str, *, hidden: frozenset[str] = frozenset(), list_items: ListItems = "sentences") -> Prose:
    """Take the paragraphs of prose out of the wikitext of a page, in time proportional to its length.

    `hidden` are the casefolded prefixes that mark links to pictures and categories in the wiki's own language; the English ones
    are known. List items become paragraphs of their own: all, none, or those that look like sentences. Broken wikitext is no
    error: what is never closed is read as far as it goes.
    """
    left_out: Counter[str] = Counter()
    if HOLE in wikitext or LOST in wikitext:  # never in XML
        wikitext = wikitext.translate(OUR_MARKS)
    if ESCAPED in wikitext and "<ref" not in wikitext:
        wikitext = ESCAPES.sub(lambda escape: html.unescape(escape[0]), wikitext)
    text = Shielded(wikitext, left_out).strip()
    text = inline.read(Brackets(hidden, left_out).read(text))
    blocks = lines.paragraphs(text, list_items, left_out)
    mended = (mend(inline.decode(block), left_out) for block in blocks)
    return Prose([paragraph for paragraph in mended if LETTER.search(paragraph)], left_out)
