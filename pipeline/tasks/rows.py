"""The rows of tasks, a class a kind: what is read from a file, with its answer as the file writes it.

`answer` is None where it is not published; `line` is where the row begins in its file, 0 where lines say nothing.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text or a pair of texts, and its class."""

    first: str
    second: str  # empty where the task has single texts
    answer: str | None  # the label's name
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Scored:
    """A text or a pair of texts, and a number."""

    first: str
    second: str
    answer: float | None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """The begin of a text, and how it may go on."""

    context: str
    start: str  # what each ending begins with; may be empty
    endings: tuple[str, ...]
    answer: int | None  # which of the endings is right
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a context."""

    text: str
    first: int  # the character of the context it begins at


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a context that may hold the answer."""

    id: str
    question: str
    context: str
    answer: tuple[Passage, ...] | None  # what annotators marked; none of them: the context does not say
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words, and a tag of each."""

    words: tuple[str, ...]
    answer: tuple[str, ...]
    line: int = field(default=0, compare=False)
