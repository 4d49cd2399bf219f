"""Next sentence prediction: does B follow A, or come from another document?"""

from collections.abc import Iterator, Sequence

from numpy.random import Generator

from pipeline.objectives.segments import Document, Examples, Pair, documents_of, lay_out, lone, target_length
from pipeline.tables import Next
from pipeline.text.encode import Encoded

RANDOM_NEXT = 0.5
"""Devlin et al. 2019, section 3.1, task 2."""


def pairs(
    encoded: Encoded, *, sequence_length: int, short_probability: float, cls_id: int, sep_id: int, rng: Generator
) -> Examples:
    """Make pairs document by document; half the time, and always for a lone sentence, B is from another document.

    "Another" is never the document itself, which the original takes when ten draws all fall on it. Sentences that a
    random B displaces are used again. A shard of one document has no other: its pairs are all NEXT, and its lone
    sentences examples of one segment (NONE).

    Source: Devlin et al. 2019, appendix A.2; google-research/bert create_pretraining_data.py,
    `create_instances_from_document`.
    """
    documents = documents_of(encoded)
    drawn: list[Pair] = []
    for at in range(len(documents)):
        target = target_length(sequence_length - 3, short_probability, rng)
        drawn.extend(_pairs_of(documents, at, target, rng))
    return lay_out(encoded, drawn, sequence_length=sequence_length, cls_id=cls_id, sep_id=sep_id, rng=rng)


def _pairs_of(documents: Sequence[Document], at: int, target: int, rng: Generator) -> Iterator[Pair]:
    document = documents[at]
    borders, row = document.borders, document.row
    begin = 0
    while begin < document.last:
        end = document.reach(begin, target)
        middle = int(rng.integers(begin + 1, end)) if end - begin > 1 else end
        if len(documents) > 1 and (middle == end or rng.random() < RANDOM_NEXT):
            second = _elsewhere(documents, at, target - (borders[middle] - borders[begin]), rng)
            yield Pair(borders[begin], borders[middle], row, *second, Next.RANDOM)
            begin = middle
        elif middle < end:
            yield Pair(borders[begin], borders[middle], row, borders[middle], borders[end], row, Next.NEXT)
            begin = end
        else:
            yield lone(row, borders[begin], borders[end])
            begin = end


def _elsewhere(documents: Sequence[Document], at: int, tokens: int, rng: Generator) -> tuple[int, int, int]:
    """Draw sentences of another document, from a random one on, until they hold `tokens`."""
    drawn = int(rng.integers(len(documents) - 1))
    other = documents[drawn + (drawn >= at)]
    begin = int(rng.integers(other.last))
    return other.borders[begin], other.borders[other.reach(begin, tokens)], other.row
