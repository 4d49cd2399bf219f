import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.clean import normalise, paragraphs


@pytest.mark.parametrize("space", ["\u00a0", "\u2009", "\u202f", "\u3000", "\t", "\n", "\r\n", "\u2028", " \u2009 "])
def test_every_kind_of_space_becomes_one_plain_space(space: str) -> None:
    assert normalise(f"one{space}two") == "one two"


@pytest.mark.parametrize(
    "nothing", ["\u2060", "\u200b", "\u00ad", "\ufeff", "\u200e", "\x00", "\x7f", "\x85\ufeff"[1:], "\ud800"]
)
def test_what_is_drawn_as_nothing_is_removed(nothing: str) -> None:
    assert normalise(f"soft{nothing}ware") == "software"


def test_spaces_around_something_invisible_collapse() -> None:
    assert normalise("one \u200b two") == "one two"


def test_a_letter_and_its_accent_become_one_character_even_with_something_invisible_between() -> None:
    assert normalise("Cafe\u0301") == "Café"
    assert normalise("Cafe\u200b\u0301") == "Café"


def test_dashes_quotes_and_joiners_of_other_scripts_stay() -> None:
    for text in ("1914–1918", "a—b", "non‑breaking", "“quoted”", "می\u200cخواهم", "👩\u200d🔬", "\u0600١"):
        assert normalise(text) == text


@given(st.text(st.characters()))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == " ".join(once.split())
    once.encode()  # no lone surrogates


def test_paragraphs_of_which_nothing_is_left_are_dropped() -> None:
    assert paragraphs(["a", " \u200b ", "", " b "]) == ["a", "b"]
