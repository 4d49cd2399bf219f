from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.sentences import split


def test_abbreviations_do_not_end_sentences() -> None:
    text = "Mr. Smith went to Washington. He arrived at 3 p.m. on Jan. 5th. Why?"
    assert split(text) == ["Mr. Smith went to Washington.", "He arrived at 3 p.m. on Jan. 5th.", "Why?"]


def test_sentences_without_spaces_between_them_are_split() -> None:
    assert split("日本語です。そうです。", "ja") == ["日本語です。", "そうです。"]


def test_a_language_without_rules_of_its_own_is_split_all_the_same() -> None:
    assert split("Vīns. Div.", "ltg") == ["Vīns.", "Div."]


def test_an_empty_paragraph_has_no_sentences() -> None:
    assert split("") == []
    assert split(" \n\n ") == []


PROSE = st.lists(
    st.sampled_from([*"ab .?!…\n\"'()”“1。", "Mr.", "e.g.", "Dr", "A", "ß", "é", "e\u0301", "\u3000", "👩"])
).map("".join)


@given(PROSE | st.text(), st.sampled_from(["en", "de", "fr", "ja", "ltg", "hi"]))
def test_no_character_is_lost_but_spaces(text: str, language: str) -> None:
    sentences = split(text, language)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence and sentence == sentence.strip() for sentence in sentences)
