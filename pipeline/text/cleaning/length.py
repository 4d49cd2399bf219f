"""Documents that are too short to learn from."""

import re
from collections.abc import Iterator

from pipeline.text.cleaning.step import CleaningStep, Drops, Settings
from pipeline.text.sources.document import Document

IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+")
UNPARTED = re.compile("[\u3040-\u30ff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+")
"""Kana, Thai and Lao, Burmese, Khmer."""
CHARACTERS_A_WORD = 4


def without_short(documents: Iterator[Document], settings: Settings, drops: Drops) -> Iterator[Document]:
    """Leave out documents of fewer words than the settings say.

    Words are what spaces part; in scripts that are written without them, each ideograph (as for BERT's tokenizer), and every
    four characters of kana, Thai, Lao, Khmer and Burmese.
    """
    for document in documents:
        texts, wanted = document.paragraphs, settings.minimum_words
        if _has_words(texts, wanted) or _has_unparted(texts, wanted):
            yield document
        else:
            drops["length", f"shorter than {settings.minimum_words} words"] += 1


def _has_words(texts: list[str], wanted: int) -> bool:
    for text in texts:
        wanted -= min(wanted, len(text.split(None, wanted)))  # the last part may hold many words more
        if wanted <= 0:
            return True
    return wanted <= 0


def _has_unparted(texts: list[str], wanted: int) -> bool:
    ideographs, others = (
        sum(len(found) for text in texts for found in kind.findall(text)) for kind in (IDEOGRAPHS, UNPARTED)
    )
    return ideographs + others // CHARACTERS_A_WORD >= wanted


STEP = CleaningStep("Leave out documents of fewer than minimum_words words.", without_short)
