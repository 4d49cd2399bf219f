"""By what the parts of a printed book are recognised: the characters they begin and end with, and patterns."""

import re

LONGEST_WRAP = 120
"""Characters. Of 80 novels, the wrapped ones have 90% of their lines within 57-99, the others within 384-926."""
RAGGED = 4
"""Characters by which lines wrapped by hand stop short of the width though the next word had fitted."""
LONGEST_HEADING = 300
LONGEST_TITLE = 80
"""Characters. Words without a full stop, after another heading, are taken for a heading if they are so few."""

ENDS = frozenset(".!?:…\"”'’»)]_")
"""A sentence may end so."""
STOPS = (ENDS | set(",;-–—")) - set(")_")
"""The line of a title never ends so."""
CONTINUES = frozenset(",;.!?)")
QUOTES = frozenset("\"“'‘«—–-")
TITLES = ("Mr.", "Mrs.", "Dr.", "St.", "Messrs.")

ONES = "one|two|three|four|five|six|seven|eight|nine"
NUMERAL = (
    rf"(?:[ivxlc]+|\d+|(?:the\s)?(?:(?:twen|thir|for|fif|six|seven|eigh|nine)ty[- ]?)?(?:{ONES}|first|second|third|fourth"
    r"|fifth|sixth|seventh|eighth|ninth)|(?:the\s)?(?:ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen)(?:th)?"
    r"|(?:the\s)?tenth|the\slast|(?:twen|thir|for|fif|six|seven|eigh|nine)ty)"
)
PARTS = ("chapter", "book", "part", "volume", "vol.", "canto", "section", "stave", "letter", "act", "scene", "phase")
PART = rf"(?:{'|'.join(map(re.escape, PARTS))})"
HEADING = re.compile(rf"[\W_]*{PART}\s+{NUMERAL}\s*(?:$|[.:\])—–-]|\n|(?-i:[A-Z]{{2}}))", re.IGNORECASE)
BARE_HEADING = re.compile(rf"[\W_]*{PART}\s+{NUMERAL}[\W_]*$", re.IGNORECASE)
HEADING_WORDS = re.compile(
    r"[\W_]*(?:(?:table of )?contents|(?:list of )?illustrations|preface|foreword|introduction|dedication|prologue|epilogue"
    r"|appendix|the end|finis|end of .*)[\W_]*$",
    re.IGNORECASE,
)
FIRST_WORDS = (
    *("table of contents", "contents", "list of illustrations", "illustrations", "preface", "foreword", "introduction"),
    *("dedication", "prologue", "epilogue", "appendix", "the end", "finis", "end of"),
)
"""So, or with one of PARTS, begin all headings that the patterns above match."""
INITIALS = frozenset("CBPVSLA_ \t")
"""Of headings, to tell quickly what is none."""
WORD_INITIALS = frozenset("TCLIPFDEA_ \t")
NUMBER_INITIALS = frozenset("0123456789IVXLC \t")
PAGE_ENDS = frozenset("0123456789.])}-–—_* ")
LONGEST_ROMAN = 12
CONTENTS = re.compile(r"[\W_]*(?:table of contents|contents|(?:list of )?illustrations)[\W_]*$", re.IGNORECASE)
POINTS = frozenset(".):—–-")
"""One of these follows the number of an entry in a list."""
LISTED = re.compile(rf"[\W_]*(?:{PART}\b|(?:[IVXLC]+|\d+)\s*[{re.escape(''.join(POINTS))}])", re.IGNORECASE)
PAGE = re.compile(r"\W*(?:(?:page|pg|p)\b\.?\s*)?\d+\W*$", re.IGNORECASE)
ROMAN = re.compile(r"\W*(?:[IVXLC]+|[ivxlc]+)\W*$")

MARK_INITIALS = frozenset("_[{")
"""Of emphasis, pictures, footnotes and pages."""
FOOTNOTE = re.compile(r"^\W*\[Footnote[^\]:]{0,20}:\s*(.*?)\]?$", re.IGNORECASE | re.DOTALL)
"""A footnote that is a paragraph of its own."""
NOTE = re.compile(r"\s?\[Footnote\b[^\]]*\]", re.IGNORECASE)
"""A footnote in the middle of a sentence; to be looked for only before the last "]", else each that is open is read to the end."""
MARKS = re.compile(
    r"\s?[\[{](?:page|pg|p)\b\.?\s*\d+[\]}]|\{\d+\}|(?<=[\w.,;:!?\"”'’)])\s?\[(?:\d{1,3}|[*†‡])\]", re.IGNORECASE
)
"""Of pages and footnotes, within lines."""
EMPHASIS = re.compile(r"_(?<!\w_)(?=\S)([^_]+)(?<=\S)_(?!\w)")
HYPHEN_BREAK = re.compile(r"(?<=\w-)\n[ \t]*(?=\w)")
