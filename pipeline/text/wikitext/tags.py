"""Comments and the tags whose inside is not wikitext: notes, formulas, code, galleries. They go first, so that no bracket in them counts."""

import re
from collections import Counter

from pipeline.text.wikitext.spoken import LOST, raised

KINDS = {
    "ref": "references", "references": "references", "math": "math", "ce": "math", "chem": "math", "gallery": "galleries",
    "imagemap": "images", "hiero": "images", "timeline": "graphics", "graph": "graphics", "score": "graphics", "mapframe": "graphics",
    "maplink": "graphics", "syntaxhighlight": "code", "source": "code", "pre": "code", "code": "code", "templatedata": "code",
    "inputbox": "forms", "categorytree": "forms", "dynamicpagelist": "forms", "templatestyles": "styles", "style": "styles",
    "script": "styles", "includeonly": "styles", "indicator": "styles", "section": "styles", "labeledsectiontransclusion": "styles",
    "nowiki": "",
}  # fmt: skip
OPENING = re.compile(rf"<(?:!--|({'|'.join(sorted(KINDS, key=len, reverse=True))})(?=[\s/>])([^<>]*)>)", re.IGNORECASE)
CLOSING = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in KINDS}
COMMENT_END = re.compile("-->")
NOTE = re.compile(r"<ref[\s>]", re.IGNORECASE)
MARKUP = re.compile(r"[\[\]{}|'=<>*#:;_~!-]|&(?!#?\w{1,31};)")
PLAIN_FORMULA = re.compile(r"[\w +\-−=,.()/%°⋅×·±<>≤≥≈'^]{1,60}")
PLAIN_CODE = re.compile(r"[\w +\-.,/:@#%()?!$]{1,60}")
GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "pi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "chi",
    "psi",
    "omega",
]
COMMANDS = {
    **dict(zip(GREEK, "αβγδεζηθικλμνξπρστυφχψω", strict=True)),
    "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
    "times": "×", "cdot": "⋅", "pm": "±", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "approx": "≈", "sim": "~", "to": "→",
    "ne": "≠", "neq": "≠", "infty": "∞", "hbar": "ħ", "ell": "ℓ", "circ": "°", "quad": " ", "text": "", "mathrm": "", "rm": "", "mathbf": "",
    "mathit": "", "operatorname": "", "displaystyle": "", "textstyle": "", "left": "", "right": "", ",": "", ";": " ", "!": "", " ": " ", "%": "%",
}  # fmt: skip
COMMAND = re.compile(r"\\([A-Za-z]+|.)\s?")
POWER = re.compile(r"\^\{?([0-9+-]{1,6})\}?")


class Shielded:
    """Takes a page's opaque parts out, counting them; each closing tag is sought once, however many openings want it."""

    def __init__(self, text: str, left_out: Counter[str]) -> None:
        self.text = text
        self.left_out = left_out
        self.next_closing: dict[str, tuple[int, int]] = {}

    def strip(self) -> str:
        """Give the page without them."""
        pieces: list[str] = []
        done = 0
        while opening := OPENING.search(self.text, done):
            pieces.append(self.text[done : opening.start()])
            name = (opening[1] or "").lower()
            if not name:
                done = self._comment(opening)
            elif opening[2].endswith("/") or (name == "references" and self._closing(name, opening.end())[0] < 0):
                done = opening.end()
                self._count(name)
            else:
                done, shown = self._element(name, opening)
                pieces.append(shown)
        pieces.append(self.text[done:])
        return "".join(pieces)

    def _comment(self, opening: re.Match[str]) -> int:
        """Find the end of a comment; one that fills its line takes the line with it."""
        self.left_out["comments"] += 1
        _, end = self._closing("", opening.end())
        if end < 0:
            return len(self.text)
        own_line = self.text[opening.start() - 1 : opening.start()] in ("\n", "") and self.text[end : end + 1] == "\n"
        return end + own_line

    def _element(self, name: str, opening: re.Match[str]) -> tuple[int, str]:
        begin, end = self._closing(name, opening.end())
        if name == "nowiki":
            return (end, _literal(self.text[opening.end() : begin])) if end >= 0 else (opening.end(), "")
        self._count(name)
        other = NOTE.search(self.text, opening.end(), begin) if name == "ref" and end >= 0 else None
        if end < 0 or other:  # nobody closed it: it ends with its line
            line_end = self.text.find("\n", opening.end())
            ends = [place for place in (line_end, other.start() if other else -1) if place >= 0]
            return min(ends, default=len(self.text)), ""
        return end, _shown(name, self.text[opening.end() : begin])

    def _closing(self, name: str, start: int) -> tuple[int, int]:
        known = self.next_closing.get(name, (0, 0))
        if -1 < known[0] < start or known == (0, 0):
            found = (CLOSING[name] if name else COMMENT_END).search(self.text, start)
            known = self.next_closing[name] = found.span() if found else (-1, -1)
        return known

    def _count(self, name: str) -> None:
        if name != "nowiki":
            self.left_out[KINDS[name]] += 1


def _shown(name: str, inside: str) -> str:
    """Say what is simple enough to be read as words: a variable, a name in code."""
    if name == "math":
        return formula(inside)
    if name == "code":
        inside = inside.strip()
        return _literal(inside) if PLAIN_CODE.fullmatch(inside) else LOST
    return LOST if name in ("ce", "chem") else "\n\n" if name in ("pre", "syntaxhighlight", "source") else ""


def formula(source: str) -> str:
    """Say a formula of one line without fractions, sums or indices, such as "n+1" or "E=mc²"; LOST for any other."""
    if len(source) > 200:
        return LOST
    said = COMMAND.sub(lambda command: COMMANDS.get(command[1], "\\"), source.strip())
    said = POWER.sub(lambda power: raised(power[1]), said).replace("{", "").replace("}", "").replace("''", "")
    return _literal(said.strip()) if PLAIN_FORMULA.fullmatch(said) and "==" not in said else LOST


def _literal(text: str) -> str:
    """Keep text from being read as markup; its entities are still to be decoded."""
    return MARKUP.sub(lambda mark: f"&#{ord(mark[0])};", text)
