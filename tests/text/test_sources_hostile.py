"""Books and dumps that somebody wrote to hold up a reader: what takes time by the square of its length is not done in this limit."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.limits import time_limit
from pipeline.text.sources import SOURCES, Reading, Span, gutenberg, wikipedia
from pipeline.text.sources.pictures import without_pictures

FAR_TOO_LONG_SECONDS = 60
"""It is done in a hundredth of it, or not in ten times as much."""
MB = 1 << 20
BOOKS = {
    "pictures": "[Illustration: " * (2 * MB // 15),
    "pictures in pictures": "[Illustration[x]" * (2 * MB // 16) + "[",
    "pictures that end where one does not": "[Illustration: " * (2 * MB // 15) + "] [",
    "footnotes": "a [Footnote 1 " * (4 * MB // 14),
    "names": "Project Gutenberg " * (8 * MB // 18),
    "licences": "*END*THE SMALL PRINT! Project Gutenberg " * (8 * MB // 40),
    "old title": "*** START OF THIS PROJECT GUTENBERG".join(["Project Gutenberg " + "-" * 60_000 + "a\n"] * 20),
    "blank lines": "*** START OF THIS PROJECT GUTENBERG".join(["\n" * 60_000] * 20),
    "one paragraph in two hundred thousand": "and so it goes on in small letters with no end,\n\n" * 150_000,
}


@pytest.mark.parametrize("name", BOOKS)
def test_a_hostile_book_is_read_in_its_time(tmp_path: Path, name: str) -> None:
    file = tmp_path / "a.txt"
    file.write_text(BOOKS[name])
    with time_limit(FAR_TOO_LONG_SECONDS):
        assert list(SOURCES["books"].read(file, Span(0, file.stat().st_size), Reading("books")))


def test_a_hostile_redirect_is_told_in_its_time() -> None:
    with time_limit(FAR_TOO_LONG_SECONDS):
        assert not wikipedia.REDIRECT.match("#a" + " " * MB + "x")


PICTURE = re.compile(r"\[Illustration[^\[\]]*(?:\[[^\]]*\][^\[\]]*)*(?:\]|$)", re.IGNORECASE)
OLD_TITLE = re.compile(
    r"^\W*(?:The )?Project Gutenberg(?:['’]s)?\s(?:e-?(?:text|book)(?: of|,)\s)?(.+?)(?:,? by .*)?\W*$",
    re.IGNORECASE | re.MULTILINE,
)
"""The plain way to say it, which takes time by the square of the length."""


@given(st.lists(st.sampled_from(["[Illustration", "[illustration]", "[", "]", "[x]", "a", "\nb"]), max_size=14))
def test_pictures_are_taken_out_as_a_plain_expression_does_it(parts: list[str]) -> None:
    block = "".join(parts)
    assert without_pictures(block) == PICTURE.subn("", block)


TITLES = ["The ", "Project Gutenberg ", "project gutenberg", "'s ", "Etext of ", "e-book, ", "\n", "***", "Emma", ", by ", " by ", " ", "!", "Jane"]  # fmt: skip


@given(st.lists(st.sampled_from(TITLES), max_size=14))
def test_old_titles_are_found_as_a_plain_expression_finds_them(parts: list[str]) -> None:
    header = "".join(parts)
    match = OLD_TITLE.search(header)
    assert gutenberg.title(header) == (" ".join(match[1].split()) if match else "")
