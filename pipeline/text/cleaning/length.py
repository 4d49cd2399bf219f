"""Documents that are too short to learn from."""

from collections.abc import Iterator

from pipeline.text.cleaning.step import CleaningStep, Drops, Settings
from pipeline.text.sources.document import Document


def without_short(documents: Iterator[Document], settings: Settings, drops: Drops) -> Iterator[Document]:
    """Leave out documents of fewer words than the settings say; words are what spaces part."""
    for document in documents:
        if _has_words(document.paragraphs, settings.minimum_words):
            yield document
        else:
            drops["length", f"shorter than {settings.minimum_words} words"] += 1


def _has_words(texts: list[str], wanted: int) -> bool:
    for text in texts:
        wanted -= min(wanted, len(text.split(None, wanted)))  # the last part may hold many words more
        if wanted <= 0:
            return True
    return wanted <= 0


STEP = CleaningStep("Leave out documents of fewer than minimum_words words.", without_short)
