import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.clean import INVISIBLE, SMALL, UNSURE, batches, normalise, paragraphs

TRICKY = st.lists(
    st.sampled_from(
        [
            *"aZ .\n\r\t\x00\x0b\x1c\x1f\x7f\x85\xa0\xad\u200b\u2028\u3000\ud800\ufeffeEéß\u0301\u0338=ΩΩÅ’——",
            "  ",
            " \n ",
            "한",
            "\u1161",
            "😀",
        ]
    )
    | st.characters()
).map("".join)


def plainly(text: str) -> str:
    """Normalise by the definition: words of visible characters, one space between, composed."""
    visible = INVISIBLE.sub("", " ".join(text.split()))
    return unicodedata.normalize("NFC", " ".join(visible.split()))


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


@given(TRICKY)
def test_a_text_is_normalised_as_defined(text: str) -> None:
    assert normalise(text) == plainly(text)


@settings(deadline=None)  # the first call compiles
@given(st.lists(TRICKY, max_size=6), st.sampled_from(["", "It was — a «fine» day’s\nwork. " * (SMALL // 20)]))
def test_paragraphs_are_normalised_as_defined_in_short_documents_and_in_long_ones(texts: list[str], long: str) -> None:
    for document in (
        [*texts, long],
        [long, *texts],
        [long + text for text in texts],
        [long.replace("\n", " "), *texts],
    ):
        assert paragraphs(document) == [clean for text in document if (clean := plainly(text))]


def test_characters_that_are_not_looked_at_one_by_one_never_change() -> None:
    composing = {
        part
        for code in range(sys.maxunicode + 1)
        if not (mapping := unicodedata.decomposition(chr(code))).startswith("<")
        for part in mapping.split()[1:]
    }
    sure = [chr(code) for code in range(0x80, sys.maxunicode + 1) if not UNSURE.match(chr(code))]
    assert len(sure) > 20_000
    for character in sure:
        assert character.isprintable()
        assert unicodedata.is_normalized("NFC", character)
        assert unicodedata.combining(character) == 0
        assert f"{ord(character):04X}" not in composing


def test_paragraphs_of_which_nothing_is_left_are_dropped() -> None:
    assert paragraphs(["a", " \u200b ", "", " b "]) == ["a", "b"]


def test_batches_hold_all_texts_in_order_and_a_little_more_than_the_most() -> None:
    assert list(batches(["aa", "b", "", "cccc", "d"], 2)) == [["aa", "b"], ["", "cccc"], ["d"]]
    assert list(batches([], 2)) == []


def test_a_tidy_text_is_handed_on_as_it_is() -> None:
    text = "It was a fine day. " * SMALL + "So."
    assert paragraphs([text])[0] is text


@given(st.integers(0, 200), st.sampled_from(["", "x ", "東" * 17, "слово "]))
def test_more_combining_marks_than_any_writing_has_are_cut(number: int, before: str) -> None:
    found = normalise(f"{before}a" + "\u0316" * number + "b")
    assert found == f"{before}a" + "\u0316" * min(number, 30) + "b"


def test_a_million_marks_out_of_order_take_no_time() -> None:
    assert len(normalise("a" + "\u0301\u0316" * 500_000)) <= 31
