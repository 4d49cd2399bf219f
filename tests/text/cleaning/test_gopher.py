from collections.abc import Callable

import pytest

from pipeline.text.cleaning import STEPS, Drops, Settings
from pipeline.text.sources.document import Document

MakeDocument = Callable[..., Document]
GOOD = "The committee of experts met and agreed that their report would be sent to every member with care. "


def fault(document: Document, language: str = "en") -> str | None:
    drops = Drops()
    kept = list(STEPS["gopher_quality"].run(iter([document]), Settings(language=language), drops))
    assert len(kept) + drops.total() == 1
    return None if kept else next(iter(drops))[1]


def test_a_page_of_prose_is_kept(document: MakeDocument) -> None:
    assert fault(document(*[GOOD] * 5)) is None


@pytest.mark.parametrize(
    ("reason", "paragraphs"),
    [
        ("fewer than 50 words", [GOOD]),
        ("more than 100000 words", [GOOD * 6000]),
        ("mean word shorter than 3 letters", ["of to be an it is as " * 10]),
        ("mean word longer than 10 letters", ["the incomprehensibilities of internationalisation " * 20]),
        ("too many hash signs", [GOOD * 4 + "# " * 10]),
        ("too many ellipses", [GOOD.replace("experts", "experts...") * 5 + "so… " * 10]),
        ("too many lines begin with a bullet", ["• " + GOOD] * 10),
        ("too many lines end with an ellipsis", [*[GOOD] * 6, *[GOOD + "so..."] * 4]),
        ("too few words with a letter", [GOOD * 4 + "1914 " * 30]),
        ("too few stop words", ["committee experts agreed their report would sent every member " * 10]),
    ],
)
def test_a_page_that_breaks_a_rule_is_left_out_by_its_name(
    document: MakeDocument, reason: str, paragraphs: list[str]
) -> None:
    assert fault(document(*paragraphs)) == reason


def test_limits_themselves_are_allowed(document: MakeDocument) -> None:
    fifty = "the of " + "word " * 48
    assert fault(document(fifty)) is None
    assert fault(document(fifty.replace("word", "#word", 5))) is None
    assert fault(document("the of " + "word " * 38 + "1914 " * 10)) is None
    assert fault(document("the of " + "word " * 37 + "1914 " * 11)) == "too few words with a letter"


def test_stop_words_are_asked_of_english_only(document: MakeDocument) -> None:
    german = "Eine allgemein anerkannte Wahrheit ist es und bleibt es auch weiterhin. " * 8
    assert fault(document(german), "de") is None
    assert fault(document(german), "en") == "too few stop words"
