"""HTML by construction: whatever is not markup already is escaped, so that titles and paths from outside stay text."""

import html
from collections.abc import Iterable
from typing import Final

EMPTY: Final = frozenset({"meta", "br"})
"""Elements without an end tag."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


EMPTY_MARKUP: Final = Markup("")


def element(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """Make an element; children that are no markup are escaped, as are the values of attributes.

    Names of attributes are written with `_` for `-`, and one that Python reserves with `_` behind: `class_`, `stroke_width`.
    An attribute that is None is left out.
    """
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_plain(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{named}>" if name in EMPTY else f"<{name}{named}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Markup:
    """Put children one behind the other; those that are no markup are escaped."""
    return Markup("".join(child if isinstance(child, Markup) else html.escape(_plain(child)) for child in children))


def _plain(text: str) -> str:
    """Replace what HTML cannot hold: controls, and halves of surrogate pairs as they come from odd file names."""
    shown = "".join(letter if letter.isprintable() or letter in " \n\t" else "\ufffd" for letter in text)
    return shown.encode("utf-8", "replace").decode()
