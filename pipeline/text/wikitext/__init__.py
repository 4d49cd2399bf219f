"""Wikitext to prose: what a reader of the page would read aloud, in one pass over the page's delimiters.

In the order in which a page runs through them: `tags` (comments, notes, code), `brackets` (templates, links, tables) with `links`
and `templates`, `inline` (bold, external links, HTML), `lines` (paragraphs and lists), `mending` (what vanished templates leave).
"""

from pipeline.text.wikitext.lines import ListItems
from pipeline.text.wikitext.page import Prose, prose

__all__ = ["ListItems", "Prose", "prose"]
