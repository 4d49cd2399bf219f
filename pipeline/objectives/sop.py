"""Sentence order prediction: do A and B, neighbours in one document, stand in the order they were written in?"""

import numpy as np

from pipeline.core.kernel import kernel
from pipeline.objectives.columns import Ints
from pipeline.objectives.draws import Bits, State, advance, below, draw, share, start
from pipeline.objectives.segments import Drawn, Examples, Keys, capped, draw_target, fit, lay_out, reach
from pipeline.tables import Next
from pipeline.text.encoded import Encoded

SWAPPED = 0.5
"""Lan et al. 2020, section 3.1."""
NEXT, RANDOM, NONE = int(Next.NEXT), int(Next.RANDOM), int(Next.NONE)


def pairs(
    encoded: Encoded,
    key_D: Keys,
    *,
    sequence_length: int,
    short_probability: float,
    cls_id: int,
    sep_id: int,
    seed: int,
) -> Examples:
    """Make pairs of neighbouring segments, half of them swapped; swapped pairs carry the label RANDOM.

    A lone sentence that fills an example has no neighbour: an example of one segment (NONE). A sentence longer than an
    example holds is cut into several.

    Source: Lan et al. 2020 (ALBERT), section 3.1; google-research/albert create_pretraining_data.py.
    """
    most = sequence_length - 3
    encoded = capped(encoded, most)
    sentences = len(encoded.sentence_at) - 1
    room = Drawn.room(sentences, 2 * sentences)
    borders = (encoded.sentence_at, encoded.document_at)
    examples = _draw_all(
        *borders, key_D, start(seed), most, short_probability, room.stretch_P3, room.at_E, room.label_E
    )
    return lay_out(encoded, room.first(examples), cls_id=cls_id, sep_id=sep_id)


@kernel
def _draw_all(
    sentence_at: Ints,
    document_at: Ints,
    key_D: Keys,
    seed: Bits,
    most: int,
    short_probability: float,
    stretch_P3: Ints,
    at_E: Ints,
    label_E: Ints,
) -> int:
    """Cut all documents into runs of whole sentences, each a pair; returns how many."""
    state = np.empty(1, np.uint64)
    example = 0
    for document in range(len(document_at) - 1):
        begin, last = document_at[document], document_at[document + 1]
        state[0] = draw(seed, key_D[document])
        target = draw_target(state, most, short_probability)
        while begin < last:
            end = reach(sentence_at, begin, last, target)
            pair_P3 = stretch_P3[at_E[example] : at_E[example] + 2]
            pair_P3[:, 2] = document
            label_E[example] = _draw_one(state, sentence_at, begin, end, pair_P3)
            if label_E[example] != NONE:
                fit(state, pair_P3[0], pair_P3[1], most)
            at_E[example + 1] = at_E[example] + (1 if label_E[example] == NONE else 2)
            example += 1
            begin = end
    return example


@kernel
def _draw_one(state: State, sentence_at: Ints, begin: int, end: int, pair_P3: Ints) -> int:
    """Part a run of sentences in two and perhaps swap them; returns the label."""
    if end - begin == 1:
        pair_P3[0, 0], pair_P3[0, 1] = sentence_at[begin], sentence_at[end]
        return NONE
    middle = begin + 1 + below(advance(state), end - begin - 1)
    swapped = share(advance(state)) < SWAPPED
    before, after = (1, 0) if swapped else (0, 1)
    pair_P3[before, 0], pair_P3[before, 1] = sentence_at[begin], sentence_at[middle]
    pair_P3[after, 0], pair_P3[after, 1] = sentence_at[middle], sentence_at[end]
    return RANDOM if swapped else NEXT
