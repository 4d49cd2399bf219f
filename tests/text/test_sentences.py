import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencex import segment

from pipeline.text.clean import normalise
from pipeline.text.sentences import LONGEST, ONE, split, split_all

GOLD = [json.loads(line) for line in Path(__file__).with_name("sentences_gold.jsonl").read_text().splitlines()]
"""Hard places between words of novels and of Wikipedia, judged one by one: does a sentence end there? (docs/cleaning.md)"""


def test_abbreviations_do_not_end_sentences() -> None:
    text = "Mr. Smith went to Washington. He arrived at 3 p.m. on Jan. 5th. Why?"
    assert split(text) == ["Mr. Smith went to Washington.", "He arrived at 3 p.m. on Jan. 5th.", "Why?"]


def test_sentences_within_a_quotation_are_split() -> None:
    assert split('"Run away, Mr. Fox. We\'re busy!" he said. "Go." The fox went.') == [
        '"Run away, Mr. Fox.',
        "We're busy!\" he said.",
        '"Go."',
        "The fox went.",
    ]
    assert split("“Why? I am here,” she said. “Come.”") == ["“Why?", "I am here,” she said.", "“Come.”"]
    assert split("'Well? Do you think so?' asked Blathers. 'No,' said the boys' mother.") == [
        "'Well?",
        "Do you think so?' asked Blathers.",
        "'No,' said the boys' mother.",
    ]
    assert split("‘Well? Is it so?’ asked he. He’d gone.") == ["‘Well?", "Is it so?’ asked he.", "He’d gone."]


def test_a_quotation_that_a_dash_follows_is_not_cut_from_it() -> None:
    assert split('He said "I saw it long ago."--And then he left. Gone.') == [
        'He said "I saw it long ago."--And then he left.',
        "Gone.",
    ]


def test_sentences_without_spaces_between_them_are_split() -> None:
    assert split("日本語です。そうです。", "ja") == ["日本語です。", "そうです。"]


def test_a_language_without_rules_of_its_own_is_split_all_the_same() -> None:
    assert split("Vīns. Div.", "ltg") == ["Vīns.", "Div."]


def test_an_empty_paragraph_has_no_sentences() -> None:
    assert split("") == []
    assert split(" \n\n ") == []
    assert split_all([], "en") == []


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_paragraph_of_any_length_is_split(language: str) -> None:
    sentence = "It was the season of Light."
    assert split(" ".join([sentence] * 3000), language) == [sentence] * 3000
    for text in ("«" * 3 * LONGEST, "« a" * LONGEST, "so it was " * LONGEST):
        assert "".join(split(text, language)).replace(" ", "") == text.replace(" ", "")


def _ends_where_judged(place: dict[str, object]) -> bool:
    left, right = str(place["left"]), str(place["right"])
    characters, ends = 0, set[int]()
    for sentence in split(f"{left} {right}"):
        characters += len(sentence.replace(" ", ""))
        ends.add(characters)
    return (len(left.replace(" ", "")) in ends) == place["border"]


def test_hard_sentence_ends_are_found_as_measured() -> None:
    assert len(GOLD) >= 200
    assert sum(map(_ends_where_judged, GOLD)) >= 213


@pytest.mark.parametrize(
    ("kind", "least"), [("title", 12), ("inquote", 28), ("number", 13), ("abbr", 42), ("quoteclose", 32)]
)
def test_no_kind_of_sentence_end_is_found_worse_than_measured(kind: str, least: int) -> None:
    assert sum(_ends_where_judged(place) for place in GOLD if place["kind"] == kind) >= least


PROSE = st.lists(
    st.sampled_from(
        [
            *"ab .?!…\n\"'()”“‘’1。—-_I",
            "Mr.",
            "e.g.",
            "Dr",
            "A",
            "ß",
            "é",
            "e\u0301",
            "\u3000",
            "👩",
            '." ',
            ' "',
            "” “",
            ".'",
            "No. ",
        ]
    )
).map("".join)


@given(PROSE | st.text(), st.sampled_from(["en", "de", "fr", "ja", "ltg", "hi"]))
def test_no_character_is_lost_but_spaces(text: str, language: str) -> None:
    text = normalise(text)
    sentences = split(text, language)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence and sentence == sentence.strip() for sentence in sentences)


@given(PROSE)
def test_where_quotation_marks_stand_borders_are_at_spaces(text: str) -> None:
    text = normalise(f'"{text}')
    assert " ".join(split(text)) == text


@given(st.lists(PROSE, max_size=5), st.sampled_from(["en", "fr"]))
def test_a_document_is_split_as_its_paragraphs_are(texts: list[str], language: str) -> None:
    texts = list(map(normalise, texts))  # sentencex 1.0 panics at some spaces that are left no longer then
    assert split_all(texts, language) == [sentence for text in texts for sentence in split(text, language)]


@given(st.text("ab,;:-\"')(.!?0 A_*#/&%", max_size=25))
def test_what_is_taken_for_one_sentence_at_sight_is_one_for_the_library_too(text: str) -> None:
    text = " ".join(text.split())
    if text and text.isascii() and ONE.fullmatch(text):
        assert split(text) == [text]
        assert len([part for part in segment("en", text.replace('"', " ")) if part.strip()]) <= 1
