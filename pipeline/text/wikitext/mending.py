"""What vanished templates leave in a sentence: empty brackets, stray commas, prepositions without their noun."""

import re
from collections import Counter

from pipeline.text.wikitext.spoken import HOLE, LOST

GAP = re.compile(f"[{HOLE}{LOST}]")
INNERMOST = re.compile(rf"\(([^()]*[{HOLE}{LOST}][^()]*)\)")
SEGMENT = re.compile(r"([,;])")
WANTING = (
    "a|an|the|of|in|at|on|by|to|from|for|with|as|than|about|around|over|under|above|below|between|and|or|near|into|onto|via|per|through"
    "|is|are|was|were|be|been|its|his|her|their|called|named|pronounced|approximately|roughly|nearly|almost|alongside|against|within|only"
    "|some|versus|vs\\.?|around|until|since|after|before|during|whose|this|that|least|most|exactly|and/or|cf\\.|i\\.e\\.|e\\.g\\.|pronunciation"
)
ORPHAN = re.compile(rf"(?:\b(?:{WANTING})\s+[\"'“‘«]?|[$£€¥₹=≈~+×]\s*){HOLE}|{LOST}", re.IGNORECASE)
"""A gap after a word that wants another one, or a gap that was a word for certain."""
WORD = re.compile(r"[^\W_]")
BORDER = re.compile(r"(?<=[.!?])(?=\s+[A-Z\"'“‘(\[])|(?<=[.!?][\"”’)\]])(?=\s+[A-Z\"'“‘(\[])")

# All that the rules below mend has one of these, and little else: three paragraphs in four go unread by them. One expression was a third of the run.
SUSPECTS = (
    "()",
    "[]",
    "( ",
    "[ ",
    " )",
    " ]",
    " ,",
    " .",
    " ;",
    "(,",
    "(;",
    "(:",
    "(·",
    "(–",
    "(-",
    "(/",
    ",)",
    ";)",
    ":)",
    "·)",
    "–)",
    "-)",
    "/)",
    ",,",
    ";;",
    ",;",
    ";,",
    ", ,",
    "; ;",
    ", ;",
    "; ,",
    ",.",
    ";.",
    ", .",
    "; .",
    "(or",
    "(and",
    " or)",
    " and)",
)
LEADING = ",;:–-"
DEBRIS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mended)
    for pattern, mended in (
        (r"\(\s*+(?:(?:[,;:·]|[–/-](?=\s|\)))\s*+|(?:or|and)\b\s*+(?=[,;)]))++", "("),
        (r"(?<![\s,;:·–/-])(?:\s*+[,;:·]|\s++[–/-])++\s*+\)", ")"),
        (r"([(\[])\s++", r"\1"),
        (r"(?<=\S)\s++(?=[)\]])", ""),
        (r"(?<=\()\(\)|(?:^|(?<=\s)|(?<=[\"'”’]))(?:\(\)|\[\])", ""),  # main() and argv[] stay
        (r"(?<!\S)\(\s*+[–/-]\s*+\)", ""),
        (r"(?<![,;])(?<![,;] )([,;])(?:\s*+[,;])++(?=\s|$)", r"\1"),
        (r"[,;]\s*+\.(?=\s|$)", "."),
        (r"(?<=\S)\s++(?=[,.;](?:\s|$))", ""),
        (r"^[,;:]++\s*+|^[–-]\s++", ""),
    )
)
PASSES = 8
"""Rounds of mending: brackets nest, and each round undoes one level."""


def mend(text: str, left_out: Counter[str]) -> str:
    """Repair a paragraph, or drop those of its sentences that lost a word they cannot do without."""
    if GAP.search(text):
        text = _without_gaps(text, left_out)
    text = " ".join(text.split())
    for _ in range(PASSES):
        if not (text[:1] in LEADING or any(mark in text for mark in SUSPECTS)):
            break
        before = text
        for pattern, mended in DEBRIS:
            text = pattern.sub(mended, text)
        text = " ".join(text.split())
        if text == before:
            break
    return text


def _without_gaps(text: str, left_out: Counter[str]) -> str:
    text = INNERMOST.sub(_without_segments, text)
    if ORPHAN.search(text):
        sentences = BORDER.split(text)
        whole = [sentence for sentence in sentences if not ORPHAN.search(sentence)]
        left_out["broken sentences"] += len(sentences) - len(whole)
        text = "".join(whole)
    return GAP.sub("", text).replace("''", "")  # one stood on each side of what vanished


def _without_segments(bracket: re.Match[str]) -> str:
    """Drop, between commas, what is nothing without that which vanished: "(Greek: , born 1950)" is "(born 1950)"."""
    parts = SEGMENT.split(bracket[1])
    kept = [(mark, part) for mark, part in zip(["", *parts[1::2]], parts[::2], strict=True) if _stands(part)]
    return (
        "(" + "".join(mark * (place > 0) + part for place, (mark, part) in enumerate(kept)).strip() + ")"
        if kept
        else " "
    )


def _stands(part: str) -> bool:
    if not GAP.search(part):
        return bool(part.strip())
    bare = GAP.sub("", part).strip()
    return not ORPHAN.search(part) and not bare.endswith(":") and WORD.search(bare) is not None
