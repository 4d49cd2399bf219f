from collections.abc import Callable, Sequence

import ftfy
import pytest
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.cleaning import STEPS, Drops, Settings
from pipeline.text.cleaning.neighbours import close_or_odd
from pipeline.text.cleaning.repair import SMALL, may_need_repair, mended, odd, options, places_to_mend, suspicious
from pipeline.text.sources.document import Document

WRONG_ENCODINGS = (
    "latin-1",
    "cp1252",
    "cp1251",
    "cp1250",
    "cp1253",
    "cp1254",
    "cp1257",
    "iso8859-2",
    "mac-roman",
    "cp437",
)
GOOD = [
    "The café’s façade — “naïve”, she said… cost £5, or 7°C.",
    "L’été à Noël, où l’œuvre coûtait 20 €: déjà-vu.",
    "Größe, Übermut und Ärger: „Straße“ für Jürgen Müller.",
    "Привет, мир! Ёлка — это праздник.",
    "Καλημέρα κόσμε, τι ώρα είναι;",
    "¿Dónde está el niño? ¡Mañana!",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Zażółć gęślą jaźń w Łodzi.",
    "日本語の文章です。 x ≠ y², ½ × 3",
    "‘It’s 5′ 3″’ – ©2020 ™ §7 ¶ • «fin»",
]
KINDS = ("common", "bad", "law", "currency", "start_punctuation", "end_punctuation")
OTHERS = "ÒÖÙÜòöøü°ŐŪŲŌÀÑØÜÝĂĘŒŻŽŸҐßàñăęœżžﬁﬂÞΑΩΆαωάЁЖЯажяџ│═▀ЂВГРСГўВЂВвЂβÎÐÂÃØÙšž²³½×√≈‚Äâó\x80\x85\x9f\ud83d\ude00\ufffd\x1aaZ .,\n\r\u2028éI"
PIECES = st.sampled_from(OTHERS + "".join(MOJIBAKE_CATEGORIES[kind] for kind in KINDS))


@pytest.fixture
def repair() -> Callable[[Sequence[str]], list[str]]:
    def run(paragraphs: Sequence[str]) -> list[str]:
        drops = Drops()
        (document,) = STEPS["repair"].run(iter([Document("test", "", "", list(paragraphs))]), Settings(), drops)
        assert not drops
        return document.paragraphs

    return run


def misread(text: str, encoding: str) -> str:
    return text.encode().decode(encoding, "ignore")


def test_text_of_any_language_that_was_read_in_a_wrong_encoding_is_mended_as_ftfy_mends_it(
    repair: Callable[[Sequence[str]], list[str]],
) -> None:
    broken = [misread(text, encoding) for text in GOOD for encoding in WRONG_ENCODINGS]
    assert repair(broken) == [ftfy.fix_text(text, options()) for text in broken]
    assert sum(text in GOOD for text in repair(broken)) > 40  # not all bytes survive all encodings


def test_good_text_is_left_as_it_is(repair: Callable[[Sequence[str]], list[str]]) -> None:
    assert repair(GOOD) == GOOD


def test_quotes_stay_curly_and_widths_stay_wide(repair: Callable[[Sequence[str]], list[str]]) -> None:
    assert repair(["“Ｙｅｓ” ‘ﬁne’ — Ã©"]) == ["“Ｙｅｓ” ‘fine’ — é"]


def test_halves_of_one_character_are_joined(repair: Callable[[Sequence[str]], list[str]]) -> None:
    assert repair(["smile \ud83d\ude00"]) == ["smile 😀"]


@given(st.lists(PIECES, max_size=8).map("".join))
@settings(max_examples=300, deadline=None)
def test_the_quick_look_never_misses_what_ftfy_would_change(text: str) -> None:
    assert may_need_repair(text) or ftfy.fix_text(text, options()) == text
    assert suspicious().search(text) or not any(map(is_bad, text.split("\n")))


@settings(deadline=None)
@given(st.text(max_size=40), st.sampled_from(WRONG_ENCODINGS))
def test_the_quick_look_never_misses_mojibake(text: str, encoding: str) -> None:
    broken = text.encode("utf-8", "surrogatepass").decode(encoding, "replace")
    assert may_need_repair(broken) or mended(broken) == broken


@given(st.lists(st.lists(PIECES | st.characters(), max_size=8).map("".join), max_size=6))
@settings(max_examples=300, deadline=None)
def test_a_look_at_many_paragraphs_misses_none_that_a_look_at_each_finds(texts: list[str]) -> None:
    found = [place for place, text in enumerate(texts) if suspicious().search(text)]
    close = close_or_odd(texts, odd())
    assert set(found) <= set(close)
    assert close == sorted(set(close))
    assert places_to_mend([*texts, "é. " * SMALL]) == [
        place for place, text in enumerate(texts) if may_need_repair(text)
    ]


def test_paragraphs_far_from_any_suspicion_are_not_looked_at_again() -> None:
    assert close_or_odd(["Grün und so", "’s “no” — é", "Â", "é’", "\U0001f600 é"], odd()) == [2, 3]


@pytest.mark.slow
def test_the_quick_look_misses_nothing_in_real_text(real_lines: list[str]) -> None:
    beyond = [line for line in dict.fromkeys(real_lines) if not line.isascii()][::5]
    missed = [line for line in beyond if not may_need_repair(line) and ftfy.fix_text(line, options()) != line]
    assert len(beyond) > 10_000
    assert missed == []
