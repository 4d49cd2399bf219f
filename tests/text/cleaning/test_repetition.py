from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.cleaning import STEPS, Drops, Settings
from pipeline.text.cleaning.phrases import shares
from pipeline.text.sources.document import Document

MakeDocument = Callable[..., Document]
NUMBERS = [letter * 5 for letter in "abcdefghijklmnop"]
PLAIN = " ".join(f"{a}-{b}" for a in NUMBERS for b in NUMBERS)


def fault(document: Document) -> str | None:
    drops = Drops()
    kept = list(STEPS["gopher_repetition"].run(iter([document]), Settings(), drops))
    return None if kept else next(iter(drops))[1]


def top_plainly(words: list[str], size: int) -> float:
    counts = Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))
    best = max(((count, len("".join(phrase))) for phrase, count in counts.items() if count > 1), default=(0, 0))
    return min(1.0, best[0] * best[1] / max(1, len("".join(words))))


def repeated_plainly(words: list[str], size: int) -> float:
    before, covered = set(), set()
    for at in range(len(words) - size + 1):
        phrase = tuple(words[at : at + size])
        if phrase in before:
            covered.update(range(at, at + size))
        before.add(phrase)
    return sum(len(words[at]) for at in covered) / max(1, len("".join(words)))


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.sampled_from(["a", "bb", "é", "日本", "dddd"]), max_size=60), st.sampled_from([" ", "\n"]))
def test_shares_are_those_of_the_definition(words: list[str], space: str) -> None:
    top, repeated = shares(space.join(words), 10)
    for size in range(2, 11):
        assert top[size] == pytest.approx(top_plainly(words, size))
        assert repeated[size] == pytest.approx(repeated_plainly(words, size))


def test_prose_is_kept_and_an_empty_document_too(document: MakeDocument) -> None:
    assert fault(document(PLAIN)) is None
    assert fault(document()) is None
    assert fault(document(" ")) is None


@pytest.mark.parametrize(
    ("reason", "paragraphs"),
    [
        ("too many repeated lines", [*"abcdef", *"abcd"]),
        ("too many letters in repeated lines", ["a", "b", "c", "d" * 9, "d" * 9]),
        ("one phrase of 2 words too often", ["good morning " + " good morning ".join(NUMBERS)]),
        ("one phrase of 3 words too often", ["a b c " + " a b c ".join([number * 2 for number in NUMBERS])]),
        ("too many letters in repeated phrases of 5 words", [PLAIN + " " + PLAIN[: len(PLAIN) // 3]]),
    ],
)
def test_repetition_is_left_out_by_the_name_of_the_rule(
    document: MakeDocument, reason: str, paragraphs: list[str]
) -> None:
    assert fault(document(*paragraphs)) == reason
