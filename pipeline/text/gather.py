"""Gathering: the ids of chunks laid out in the order in which the chunks occur.

Letters: N chunks as they occur, S sentences, C distinct chunks.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.core.kernel import kernel
from pipeline.text.encoded import Ids, Lengths

Numbers = NDArray[np.int64]


@kernel
def gather(ids: Ids, ends_C: Numbers, numbers_N: Numbers, per_S: Numbers) -> tuple[Ids, Lengths]:
    """Lay out the ids of chunks; chunk c has ids[ends_C[c] : ends_C[c + 1]]. Returns them and how many a sentence has."""
    total = 0
    for number in numbers_N:
        total += ends_C[number + 1] - ends_C[number]
    gathered = np.empty(total, ids.dtype)
    lengths_S = np.zeros(len(per_S), np.int64)
    at = n = 0
    for s in range(len(per_S)):
        before = at
        for _ in range(per_S[s]):
            for source in range(ends_C[numbers_N[n]], ends_C[numbers_N[n] + 1]):
                gathered[at] = ids[source]
                at += 1
            n += 1
        lengths_S[s] = at - before
    return gathered, lengths_S
