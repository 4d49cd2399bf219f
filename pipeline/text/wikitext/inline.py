"""What stands in the middle of a line: bold and italics, external links, magic words, HTML tags, entities."""

import html
import re

from pipeline.text.wikitext.spoken import raised

QUOTES = re.compile(r"''+")
MAGIC = re.compile(r"__[^\W\d_a-z]{3,40}__")
EXTERNAL = re.compile(
    r"\[(?:(?:https?|ftps?|irc|ircs|gopher|telnet|nntp|worldwind|svn|git|mms)://|//|mailto:|news:)[^\s\[\]<>\x02\x03]*+[ \t]*+"
    r"((?:[^\[\]\n]|\[[^\[\]\n]*+\])*+)\]",
    re.IGNORECASE,
)
OPEN_EXTERNAL = re.compile(r"\[(?:https?:)?//[^\s\[\]<>]*+[ \t]*", re.IGNORECASE)
POWER = re.compile(r"<sup\b[^<>]*+>\s*([0-9+−–-]{1,12})\s*</sup\s*>", re.IGNORECASE)
# Slips of the hand: a link or a template with a bracket too few, and pages whose line breaks were lost.
HALF_LINK = re.compile(r"\[[^\[\]|\n]{1,80}\|([^\[\]|\n]*+)\]")
HALF_TEMPLATE = re.compile(r"\{[\w ]{1,40}\|[^{}]*+\}")
GLUED_HEADING = re.compile(r"(?<=[^\n]) ={2,6}(?=[^\s=])[^=\n]{1,100}={2,6}(?=\s|$)")
GLUED_TABLE = re.compile(r"\{\|(?:[^{}|\n]|\|(?!\}))*+\|\}")
BRACKETS = re.compile(r"\[\[|\]\]|\{\{+|\}\}+|\{\||\|\}")

BREAK, ROW, HEADING, ITEM = "\n\n", "\n|", "\n\n==", "\n* "
OPENED = {
    **dict.fromkeys(["p", "div", "center", "blockquote", "poem", "ul", "ol", "dl", "hr", "caption", "section", "article", "figure", "main", "noinclude", "includeonly", "onlyinclude"], BREAK),
    **dict.fromkeys(["tr", "td", "th", "tbody", "thead", "tfoot", "table"], ROW),
    **dict.fromkeys(["h1", "h2", "h3", "h4", "h5", "h6"], HEADING),
    **dict.fromkeys(["li", "dt"], ITEM),
    "dd": "\n: ",
    "br": " ",
    **dict.fromkeys(
        ["span", "small", "big", "sub", "sup", "b", "i", "u", "s", "em", "strong", "font", "code", "tt", "kbd", "samp", "var", "cite", "abbr", "q", "del", "ins", "strike", "wbr", "bdi", "bdo", "ruby", "rb", "rt", "rp", "mark", "time", "data", "dfn", "a", "img", "nowiki", "ref", "references", "math", "gallery", "nobr", "translate", "tvar", "languages", "ce", "chem", "pre", "source", "syntaxhighlight", "timeline", "score", "imagemap", "section", "input", "form", "label", "button"], ""),
}  # fmt: skip
CLOSED = {**dict.fromkeys(OPENED, ""), **{name: said for name, said in OPENED.items() if said in (BREAK, ROW)}}
CLOSED |= dict.fromkeys(["h1", "h2", "h3", "h4", "h5", "h6"], "==\n\n") | dict.fromkeys(["li", "dt", "dd"], "\n")
TAG = re.compile(
    rf"<(/?)({'|'.join(sorted(OPENED, key=len, reverse=True))})(?![\w-])(?:[^<>]*+>|(?:\s*\w++\s*=\s*(?:\"[^\"<>\n]*+\"|[^\s<>\"]*+))*+\s*/?)",
    re.IGNORECASE,
)
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def read(text: str) -> str:
    """Take the marks of a page's running text away and keep its words; lines stay lines."""
    if "__" in text:
        text = MAGIC.sub("", text)
    text = QUOTES.sub(_apostrophe, text)
    if "[" in text:
        text = OPEN_EXTERNAL.sub("", EXTERNAL.sub(r"\1", text))
    if "<" in text:
        text = TAG.sub(_tag, POWER.sub(lambda power: raised(power[1]), text))
    return BRACKETS.sub("", _without_slips(text))


def _without_slips(text: str) -> str:
    if "{" in text:
        text = HALF_TEMPLATE.sub("", GLUED_TABLE.sub(BREAK, text))
    if "==" in text:
        text = GLUED_HEADING.sub(BREAK, text)
    return HALF_LINK.sub(r"\1", text) if "[" in text else text


def decode(text: str) -> str:
    """Decode each entity once; what is none stays as it is."""
    return ENTITY.sub(lambda entity: html.unescape(entity[0]), text) if "&" in text else text


def _apostrophe(run: re.Match[str]) -> str:
    """Four apostrophes are one and bold; more than five are one and bold italics."""
    length = run.end() - run.start()
    return "'" if length == 4 or length > 5 else ""


def _tag(tag: re.Match[str]) -> str:
    return (CLOSED if tag[1] else OPENED)[tag[2].lower()]
