"""Links between pages: what of them is read aloud."""

import re
from collections import Counter

HIDDEN = {"file": "images", "image": "images", "media": "images", "category": "categories"}
PICTURE = re.compile(r"\.(?:jpe?g|png|gif|svg|tiff?|webp|xcf|djvu|pdf|og[gva]|webm|mid|flac|wav)\s*$", re.IGNORECASE)
LANGUAGE_LINK = re.compile(r"(?:[a-z]{2,3}|simple|tokipona)(?:-[a-z-]+)?:\S")
DISAMBIGUATION = re.compile(r"\s*\([^()]*\)\s*$")


def hidden_kind(target: str, hidden: frozenset[str]) -> str:
    """Tell whether a link shows a picture or files the page, and which; empty for links that show words."""
    prefix, _, rest = target.partition(":")
    prefix = prefix.strip().casefold()
    if not prefix:
        return ""
    if prefix in HIDDEN:
        return HIDDEN[prefix]
    if PICTURE.search(rest):
        return "images"
    return "categories" if prefix in hidden else ""


def say(content: str, hidden: frozenset[str], left_out: Counter[str]) -> str:
    """Say a link, given what stands between its brackets: its words, or else the page that it names."""
    target, bar, words = content.partition("|")
    if ":" in target:
        kind = hidden_kind(target, hidden) or (
            "" if bar or not LANGUAGE_LINK.match(target.strip()) else "interwiki links"
        )
        if kind:
            left_out[kind] += 1
            return ""
    if not bar:
        return target.strip().lstrip(":")
    if "|" in words:
        words = words.rpartition("|")[2]
    return words if words.strip() else DISAMBIGUATION.sub("", target.rpartition(":")[2])
