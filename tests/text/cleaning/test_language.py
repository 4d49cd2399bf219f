import re
from collections.abc import Callable

import pytest

from pipeline.config import load
from pipeline.core.errors import ConfigError
from pipeline.text.cleaning import STEPS, Drops, Settings
from pipeline.text.cleaning.language import LANGUAGES, SAMPLE, identifier, middle
from pipeline.text.sources.document import Document

MakeDocument = Callable[..., Document]
ENGLISH = "It is a truth universally acknowledged, that a single man must be in want of a wife."
GERMAN = "Es ist eine allgemein anerkannte Wahrheit, dass ein Junggeselle eine Frau haben muss."


def run(document: Document, **settings: object) -> tuple[list[Document], Drops]:
    drops = Drops()
    return list(STEPS["language"].run(iter([document]), Settings(**settings), drops)), drops  # type: ignore[arg-type]


def test_a_document_in_the_language_is_kept_and_one_in_another_named(document: MakeDocument) -> None:
    assert run(document(ENGLISH)) == ([document(ENGLISH)], {})
    assert run(document(GERMAN)) == ([], {("language", "language de"): 1})
    assert run(document(GERMAN), language="de") == ([document(GERMAN)], {})


def test_a_document_that_is_too_little_to_tell_is_unsure(document: MakeDocument) -> None:
    kept, drops = run(document("The house"), language_confidence=1)
    assert (kept, set(drops)) == ([], {("language", "language unsure")})


def test_the_middle_decides(document: MakeDocument) -> None:
    assert run(document(GERMAN, *[ENGLISH] * 20, GERMAN))[0]
    assert middle(["a" * SAMPLE, "b" * SAMPLE, "c" * SAMPLE]) == "b" * SAMPLE
    assert middle(["ab", "c"]) == "ab\nc"


def test_the_languages_are_those_of_the_model() -> None:
    assert frozenset(identifier().labels) == LANGUAGES


def test_a_language_that_the_model_does_not_know_is_refused_with_the_config() -> None:
    steps = "recipe.corpus.cleaning.steps=[language]"
    with pytest.raises(ConfigError, match=re.escape("recipe.corpus.language=xx: the cleaning step `language` cannot")):
        load([], ["recipe.corpus.language=xx", steps])
    assert load([], ["recipe.corpus.language=xx"]).recipe.corpus.language == "xx"
    with pytest.raises(ConfigError, match=re.escape("recipe.corpus.language")):
        load([], ["recipe.corpus.language=english"])
