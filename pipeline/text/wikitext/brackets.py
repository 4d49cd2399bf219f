"""Templates, links and tables: all that nests, taken apart in one pass with a stack of what is open."""

import re
from collections import Counter

from pipeline.text.wikitext import links, templates
from pipeline.text.wikitext.spoken import HOLE, LOST

# Whole links and templates in which nothing nests are one delimiter: nine in ten are such.
DELIMITER = re.compile(
    r"(\[\[[^\[\]{}\n]*+\]\]|\{\{[^{}\[\]]*+\}\}(?!\})|\[\[|\]\]|\{\{+|\}\}+|\n[ \t:*#]*+\{\||\n[ \t]*+\|\}(?!\})"
    r"|<[tT][aA][bB][lL][eE]\b[^<>]*+>|</[tT][aA][bB][lL][eE]\s*>)"
)
DEEPEST = 100
"""Levels of nesting that are read; deeper ones are dropped unread, as MediaWiki does ($wgMaxTemplateDepth)."""
BRACES, LINK, TABLE, HTML_TABLE = range(4)


class Frame:
    """Something open: what it is, how many braces opened it, and what was said inside so far."""

    __slots__ = ("braces", "kind", "said")

    def __init__(self, kind: int, braces: int) -> None:
        self.kind = kind
        self.braces = braces
        self.said: list[str] = []


class Brackets:
    """Reads a page once; `left_out` counts what was silent."""

    def __init__(self, hidden: frozenset[str], left_out: Counter[str]) -> None:
        self.hidden = hidden
        self.left_out = left_out
        self.page: list[str] = []
        self.open: list[Frame] = []
        self.said = self.page  # of the innermost frame
        self.counts = [0, 0, 0, 0]

    def read(self, text: str) -> str:
        """Give the page with its links and templates said, and its tables gone."""
        parts = DELIMITER.split("\n" + text)
        for plain, delimiter in zip(parts[::2], parts[1::2], strict=False):
            self.said.append(plain)
            start = delimiter[:2]
            if start == "[[" and delimiter[-1] == "]":
                self.said.append(links.say(delimiter[2:-2], self.hidden, self.left_out))
            elif start == "{{" and delimiter[-1] == "}":
                self.said.append(self._template(delimiter[2:-2]))
            else:
                self._nest(start, delimiter)
        self.said.append(parts[-1])
        for frame in self.open:
            self.page.extend(self._loose(frame))
        return "".join(self.page)

    def _nest(self, start: str, delimiter: str) -> None:
        if start == "[[":
            self._begin(LINK)
        elif start == "{{":
            self._begin(BRACES, len(delimiter))
        elif start == "]]":
            self._end_link()
        elif start == "}}":
            self._end_braces(len(delimiter))
        elif start == "</":
            self._end_table(HTML_TABLE, "")
        elif delimiter.endswith("|}"):
            self._end_table(TABLE, delimiter)
        else:
            self._begin(HTML_TABLE if start[0] == "<" else TABLE)

    def _begin(self, kind: int, braces: int = 0) -> None:
        frame = Frame(kind, braces)
        self.open.append(frame)
        self.counts[kind] += 1
        self.said = frame.said

    def _end(self) -> Frame:
        frame = self.open.pop()
        self.counts[frame.kind] -= 1
        self.said = self.open[-1].said if self.open else self.page
        return frame

    def _end_link(self) -> None:
        if not self.open or self.open[-1].kind != LINK:
            self.said.append("]]")
            return
        frame = self._end()
        if len(self.open) >= DEEPEST:
            return
        content = "".join(frame.said)
        if "\n\n" in content and not links.hidden_kind(content.partition("|")[0], self.hidden):
            self.said.extend(self._loose(frame))
        else:
            self.said.append(links.say(content, self.hidden, self.left_out))

    def _end_braces(self, braces: int) -> None:
        """Close as many templates as the braces suffice for; three braces are a template's own parameter, said by nobody."""
        while braces >= 2 and self.counts[BRACES]:
            self._abandon_above(BRACES)
            frame = self.open[-1]
            used = 3 if braces >= 3 and frame.braces >= 3 else 2
            said = self._template("".join(frame.said)) if used == 2 and len(self.open) <= DEEPEST else ""
            braces -= used
            frame.braces -= used
            if frame.braces >= 2:
                frame.said[:] = [said]
            else:
                self._end()
                self.said.append(said)
        if braces >= 2:
            self.said.append("}}")

    def _end_table(self, kind: int, delimiter: str) -> None:
        if not self.counts[kind]:
            self.said.append(delimiter)
            return
        self._abandon_above(kind)
        self._end()
        self.left_out["tables"] += 1
        self.said.append("\n\n")

    def _abandon_above(self, kind: int) -> None:
        """Give up what was opened inside the innermost frame of a kind and never closed."""
        place = len(self.open) - 1
        while self.open[place].kind != kind:
            place -= 1
        keeper = self.open[place]
        for frame in self.open[place + 1 :]:
            self.counts[frame.kind] -= 1
            keeper.said.extend(self._loose(frame))
        del self.open[place + 1 :]
        self.said = keeper.said

    def _template(self, content: str) -> str:
        said = templates.say(content)
        if said is None or said is HOLE or said is LOST:
            self.left_out["templates"] += 1
            return said or ""
        return said.replace("=", "&#61;") if "=" in said else said  # no argument of a template around it

    def _loose(self, frame: Frame) -> list[str]:
        """Say what is left of something never closed: without a picture's line, a link's target, a template's name."""
        if not frame.said:
            return frame.said
        line, newline, rest = frame.said[0].partition("\n")
        target, bar, words = line.rpartition("|")
        if frame.kind == LINK:
            line = "" if links.hidden_kind(target.partition("|")[0], self.hidden) else words
        elif frame.kind == TABLE:
            line = ""
        elif frame.kind == BRACES:
            line = "" if not bar and rest.lstrip()[:1] == "|" else words
        frame.said[0] = line + newline + rest
        return frame.said
