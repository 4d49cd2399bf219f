"""Examples for a recipe without a pair objective: full sentences, packed across documents."""

import numpy as np

from pipeline.core.kernel import kernel
from pipeline.objectives.columns import Ints
from pipeline.objectives.draws import Bits, draw, start
from pipeline.objectives.segments import Drawn, Examples, Keys, capped, draw_target, lay_out
from pipeline.tables import Next
from pipeline.text.encoded import Encoded

AROUND = 2
"""[CLS] and the [SEP] at the end."""


def full_sentences(
    encoded: Encoded,
    key_D: Keys,
    *,
    sequence_length: int,
    short_probability: float,
    cls_id: int,
    sep_id: int,
    seed: int,
) -> Examples:
    """Pack sentences in their order into examples as full as whole sentences allow; every token once.

    Where a document ends the next one goes on in the same example, behind a [SEP] of its own. A sentence longer than an
    example holds is cut into several. Unlike the original, examples may be drawn short, as all pair makers draw them.

    Source: Liu et al. 2019 (RoBERTa), section 4.2, FULL-SENTENCES.
    """
    most = sequence_length - AROUND
    encoded = capped(encoded, most)
    sentences, documents = len(encoded.sentence_at) - 1, len(encoded.document_at) - 1
    room = Drawn.room(sentences, sentences + documents)
    borders = (encoded.sentence_at, encoded.document_at)
    examples = _pack(*borders, key_D, start(seed), most, short_probability, room.stretch_P3, room.at_E)
    room.label_E[:] = Next.NONE
    return lay_out(encoded, room.first(examples), cls_id=cls_id, sep_id=sep_id)


@kernel
def _pack(
    sentence_at: Ints,
    document_at: Ints,
    key_D: Keys,
    seed: Bits,
    most: int,
    short_probability: float,
    stretch_P3: Ints,
    at_E: Ints,
) -> int:
    """Fill examples one after another; returns how many.

    An example's length is drawn from the document and the sentence that it begins with.
    """
    state = np.empty(1, np.uint64)
    stretch, examples, left, previous = -1, 0, 0, -1
    for document in range(len(document_at) - 1):
        for sentence in range(document_at[document], document_at[document + 1]):
            begin, end = sentence_at[sentence], sentence_at[sentence + 1]
            new = document != previous
            if end - begin + (1 if new and examples else 0) > left:  # a [SEP] between documents
                state[0] = draw(draw(seed, key_D[document]), np.uint64(sentence - document_at[document]))
                left = draw_target(state, most, short_probability)
                examples += 1
                new = True
            elif new:
                left -= 1
            if new:
                stretch += 1
                stretch_P3[stretch, 0], stretch_P3[stretch, 2] = begin, document
            stretch_P3[stretch, 1] = end
            at_E[examples] = stretch + 1
            left -= end - begin
            previous = document
    return examples
