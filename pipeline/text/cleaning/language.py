"""Documents in another language, by py3langid's model of 97 languages, which needs no download.

Source: Lui and Baldwin 2012, langid.py; py3langid, https://github.com/adbar/py3langid
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.text.cleaning.step import CleaningStep, Drops, Settings, kept
from pipeline.text.sources.document import Document

SAMPLE = 400
"""Characters from the middle of a document: of 300 documents all got the same answer from 300 and from 20,000 characters."""


def in_language(documents: Iterator[Document], settings: Settings, drops: Drops) -> Iterator[Document]:
    """Leave out documents that are not, or not surely, in the language of the settings.

    Raises: ConfigError if the model does not know the language.
    """
    model = identifier()
    if settings.language not in model.labels:
        raise ConfigError(
            f"recipe.corpus.language={settings.language}: the step `language` cannot tell this language from others; it knows "
            f"{', '.join(sorted(model.labels))}. Name one of these, or leave `language` out of recipe.corpus.cleaning.steps"
        )

    def fault(document: Document) -> str | None:
        language, confidence = model.classify(middle(document.paragraphs))
        if language != settings.language:
            return f"language {language}"
        return None if confidence >= settings.language_confidence else "language unsure"

    return kept(documents, "language", drops, fault)


def middle(paragraphs: list[str]) -> str:
    """Give the SAMPLE characters in the middle of a document."""
    whole = "\n".join(paragraphs)
    begin = max(0, (len(whole) - SAMPLE) // 2)
    return whole[begin : begin + SAMPLE]


@cache
def identifier() -> Any:
    """Load the model, once a process."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


STEP = CleaningStep("Leave out documents that are not surely in recipe.corpus.language, with py3langid.", in_language)
