"""Next sentence prediction: does B follow A, or come from another document?"""

import numpy as np

from pipeline.core.kernel import kernel
from pipeline.objectives.columns import Ints
from pipeline.objectives.draws import Bits, State, advance, below, draw, share, start
from pipeline.objectives.segments import Drawn, Examples, Keys, capped, draw_target, fit, lay_out, reach
from pipeline.tables import Next
from pipeline.text.encoded import Encoded

RANDOM_NEXT = 0.5
"""Devlin et al. 2019, section 3.1, task 2."""
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
    """Make pairs document by document; half the time, and always for a lone sentence, B is from another document.

    "Another" is never the document itself, which the original takes when ten draws all fall on it. Sentences that a
    random B displaces are used again. One document alone has no other: its pairs are all NEXT, and its lone sentences
    examples of one segment (NONE). A sentence longer than an example holds is cut into several.

    Source: Devlin et al. 2019, appendix A.2; google-research/bert create_pretraining_data.py,
    `create_instances_from_document`.
    """
    most = sequence_length - 3
    encoded = capped(encoded, most)
    full_D = np.flatnonzero(np.diff(encoded.document_at))
    sentences = len(encoded.sentence_at) - 1
    room = Drawn.room(sentences, 2 * sentences)
    borders = (encoded.sentence_at, encoded.document_at, full_D)
    examples = _draw_all(
        *borders, key_D, start(seed), most, short_probability, room.stretch_P3, room.at_E, room.label_E
    )
    return lay_out(encoded, room.first(examples), cls_id=cls_id, sep_id=sep_id)


@kernel
def _draw_all(
    sentence_at: Ints,
    document_at: Ints,
    full_D: Ints,
    key_D: Keys,
    seed: Bits,
    most: int,
    short_probability: float,
    stretch_P3: Ints,
    at_E: Ints,
    label_E: Ints,
) -> int:
    """Draw the pairs of all documents that have text; returns how many."""
    state = np.empty(1, np.uint64)
    example = 0
    for place in range(len(full_D)):
        begin, last = document_at[full_D[place]], document_at[full_D[place] + 1]
        state[0] = draw(seed, key_D[full_D[place]])
        target = draw_target(state, most, short_probability)
        while begin < last:
            pair_P3 = stretch_P3[at_E[example] : at_E[example] + 2]
            begin, label_E[example] = _draw_one(
                state, sentence_at, document_at, full_D, place, begin, last, target, pair_P3
            )
            if label_E[example] != NONE:
                fit(state, pair_P3[0], pair_P3[1], most)
            at_E[example + 1] = at_E[example] + (1 if label_E[example] == NONE else 2)
            example += 1
    return example


@kernel
def _draw_one(
    state: State,
    sentence_at: Ints,
    document_at: Ints,
    full_D: Ints,
    place: int,
    begin: int,
    last: int,
    target: int,
    pair_P3: Ints,
) -> tuple[int, int]:
    """Draw the pair that begins at a sentence; returns where the next begins, and the label."""
    end = reach(sentence_at, begin, last, target)
    middle = begin + 1 + int(below(advance(state), end - begin - 1)) if end - begin > 1 else end
    alone = middle == end
    pair_P3[0, 0], pair_P3[0, 1], pair_P3[0, 2] = sentence_at[begin], sentence_at[middle], full_D[place]
    if len(full_D) > 1 and (alone or share(advance(state)) < RANDOM_NEXT):
        tokens = target - (sentence_at[middle] - sentence_at[begin])
        _draw_elsewhere(state, sentence_at, document_at, full_D, place, tokens, pair_P3[1])
        return middle, RANDOM
    if alone:
        return end, NONE
    pair_P3[1, 0], pair_P3[1, 1], pair_P3[1, 2] = sentence_at[middle], sentence_at[end], full_D[place]
    return end, NEXT


@kernel
def _draw_elsewhere(
    state: State, sentence_at: Ints, document_at: Ints, full_D: Ints, place: int, tokens: int, stretch_P: Ints
) -> None:
    """Draw sentences of another document, from a random one on, until they hold `tokens`."""
    drawn = below(advance(state), len(full_D) - 1)
    other = full_D[drawn + (1 if drawn >= place else 0)]
    first, last = document_at[other], document_at[other + 1]
    begin = first + below(advance(state), last - first)
    end = reach(sentence_at, begin, last, tokens)
    stretch_P[0], stretch_P[1], stretch_P[2] = sentence_at[begin], sentence_at[end], other
