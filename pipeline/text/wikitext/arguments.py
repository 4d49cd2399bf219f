"""The arguments of a template, by place and by name."""

import re

KEY = re.compile(r"\s*[\w .-]{0,60}\s*")
BLANK = re.compile(r"\$([\w/]+)")


class Arguments:
    """What stands between the bars of a template, stripped; what is absent is empty."""

    def __init__(self, text: str | None) -> None:
        self.placed: list[str] = []
        self.named: dict[str, str] = {}
        for part in text.split("|") if text is not None else ():
            key, equals, value = part.partition("=")
            if equals and KEY.fullmatch(key):
                self.named[key.strip().lower()] = value.strip()
            else:
                self.placed.append(part.strip())

    def __call__(self, name: str | int) -> str:
        """Give an argument: `a(1)` is the first, whether it stands in its place or as "1=..."."""
        key = str(name)
        if key in self.named:
            return self.named[key]
        return self.placed[int(key) - 1] if key.isdecimal() and 0 < int(key) <= len(self.placed) else ""

    def all(self) -> list[str]:
        """Give the arguments by place, those that are written as "1=..." among them, without gaps."""
        count = max([len(self.placed), *(int(key) for key in self.named if key.isdecimal() and len(key) < 3)])
        return [value for place in range(1, count + 1) if (value := self(place))]

    def fill(self, row: str) -> str:
        """Fill a row's blanks: "$1" is the first argument, "$lt/1" the one named lt or else the first."""
        return BLANK.sub(lambda blank: next(filter(None, map(self, blank[1].split("/"))), ""), row)
