"""Sentence order prediction: do A and B, neighbours in one document, stand in the order they were written in?"""

from numpy.random import Generator

from pipeline.objectives.segments import Document, Examples, Pair, chunks, documents_of, lay_out, lone, target_length
from pipeline.tables import Next
from pipeline.text.encode import Encoded

SWAPPED = 0.5
"""Lan et al. 2020, section 3.1."""


def pairs(
    encoded: Encoded, *, sequence_length: int, short_probability: float, cls_id: int, sep_id: int, rng: Generator
) -> Examples:
    """Make pairs of neighbouring segments, half of them swapped; swapped pairs carry the label RANDOM.

    A lone sentence that fills an example has no neighbour: an example of one segment (NONE).

    Source: Lan et al. 2020 (ALBERT), section 3.1; google-research/albert create_pretraining_data.py.
    """
    drawn: list[Pair] = []
    for document in documents_of(encoded):
        target = target_length(sequence_length - 3, short_probability, rng)
        drawn.extend(_pair(document, begin, end, rng) for begin, end in chunks(document, target))
    return lay_out(encoded, drawn, sequence_length=sequence_length, cls_id=cls_id, sep_id=sep_id, rng=rng)


def _pair(document: Document, begin: int, end: int, rng: Generator) -> Pair:
    borders, row = document.borders, document.row
    if end - begin == 1:
        return lone(row, borders[begin], borders[end])
    middle = int(rng.integers(begin + 1, end))
    before, after = (borders[begin], borders[middle]), (borders[middle], borders[end])
    if rng.random() < SWAPPED:
        return Pair(*after, row, *before, row, Next.RANDOM)
    return Pair(*before, row, *after, row, Next.NEXT)
