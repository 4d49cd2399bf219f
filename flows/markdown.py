"""Markdown by construction: what comes from outside is escaped, so that names and settings stay text."""

import re
from collections.abc import Iterable, Sequence

SIGNS = re.compile(r"([\\`*_\[\]<>|~&])")
UNSEEN = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


def plain(text: str) -> str:
    """Write text so that it is shown as it is: in one line, with every sign of Markdown and HTML taken as a letter."""
    return SIGNS.sub(r"\\\1", UNSEEN.sub(" ", text)).encode("utf-8", "replace").decode()


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lay out a table; what is in its cells is Markdown already."""
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]
    return [*lines, ""]


def fenced(code: str, language: str = "") -> list[str]:
    """Show lines of code of our own."""
    return [f"```{language}", *code.splitlines(), "```", ""]
