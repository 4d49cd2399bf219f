"""Cleaning: a chain of named steps over documents. Adding a step: one file beside this one, one line in STEPS."""

from collections.abc import Iterator, Sequence

from pipeline.text.clean import paragraphs
from pipeline.text.cleaning import c4, gopher, language, length, repair, repetition
from pipeline.text.cleaning.step import CleaningStep, Drops, Settings
from pipeline.text.sources.document import Document

__all__ = ["STEPS", "CleaningStep", "Drops", "Settings", "clean", "normalised"]

STEPS: dict[str, CleaningStep] = {
    "repair": repair.STEP,
    "length": length.STEP,
    "language": language.STEP,
    "gopher_quality": gopher.STEP,
    "gopher_repetition": repetition.STEP,
    "c4_quality": c4.STEP,
}


def clean(documents: Iterator[Document], names: Sequence[str], settings: Settings, drops: Drops) -> Iterator[Document]:
    """Run documents through the named steps, in order, then bring their text to one form.

    A document is taken only when one is asked for, so whatever was taken and is not handed on is counted in `drops`.
    """
    for name in names:
        documents = STEPS[name].run(documents, settings, drops)
    return normalised(documents)


def normalised(documents: Iterator[Document]) -> Iterator[Document]:
    """Bring the text of every document to one form; paragraphs of which nothing is left are dropped, documents never."""
    for document in documents:
        texts = paragraphs(document.paragraphs)
        unchanged = (
            texts == document.paragraphs
        )  # a document made anew costs as much as looking at a thousand characters
        yield document if unchanged else document._replace(paragraphs=texts)
