"""Pairs: documents that agree in a whole band of their signatures are compared, band by band.

A band is worked on alone, in any order, on any worker: all it holds of every document is a key and a name of the signature.
Signatures are fetched for documents that share a key with another, some thousand at a time.

Huge groups of one key do not cost the square of their size. Equal signatures (a boilerplate page met 100,000 times) are
one name, of which one document stands for all. Within a group of different ones, documents already linked to
a pivot are never compared again; and a group of more than `BLOCK` is cut, after sorting it by the next band's key so
that those that agree in that band too stay together: work is linear, and whatever is linked has been compared in full.

Letters: D documents, P numbers of a signature, B bands, N pairs.

Source: Leskovec, Rajaraman and Ullman 2014, Mining of Massive Datasets, 3.4 (bands).
"""

from collections.abc import Callable, Iterator

import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.text.near.loops import EMPTY, Hashes, Ints, Signatures, hash_bands, link

SignatureOf = Callable[[Ints], Signatures]
"""Fetches the signatures of documents by their numbers."""
BLOCK = 2048
"""The most documents that are all compared with each other: 2 million comparisons, 50 ms."""
FETCH = 1 << 16
"""Documents whose signatures are in memory at once, but for one group: 32 MB at 128 numbers."""


def band_keys(signatures_DP: Signatures, bands: int) -> Hashes:
    """Hash each band of each signature to a key [D, B]; those of documents without words are `EMPTY`.

    Two documents of similarity s share a key with probability `1 - (1 - s ** (P / B)) ** B`. One band of all numbers is a name
    of the whole signature.

    Raises: ConfigError if the bands do not divide the signature.
    """
    if bands < 1 or signatures_DP.shape[1] % bands:
        raise ConfigError(
            f"bands={bands} do not divide a signature of {signatures_DP.shape[1]} numbers; choose a divisor of it"
        )
    keys_DB = np.empty((len(signatures_DP), bands), np.uint64)
    hash_bands(signatures_DP, keys_DB)
    return keys_DB


def repeats(names_D: Hashes) -> Ints:
    """Pair the first document of each name with the others of it [N, 2]: their signatures are equal."""
    order = np.argsort(names_D, kind="stable")
    sorted_names = names_D[order]
    again = np.zeros(len(order), bool)
    again[1:] = (sorted_names[1:] == sorted_names[:-1]) & (sorted_names[1:] != EMPTY)
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
    return np.stack([order[first[again]], order[again]], axis=1).astype(np.int64)


def similar_pairs(
    keys_D: Hashes, next_keys_D: Hashes, names_D: Hashes, signature_of: SignatureOf, *, threshold: float
) -> Ints:
    """Link documents that share a key and whose signatures agree in at least `threshold` of their numbers [N, 2].

    A link is left out if others imply it: what is whole is the set of documents that are linked, directly or not.
    Of documents of one name only the first takes part; `repeats` links the others to it.
    """
    alone = keys_D == EMPTY
    alone[repeats(names_D)[:, 1]] = True
    members, borders = _groups(np.flatnonzero(~alone), keys_D, next_keys_D, names_D)
    found = [np.empty((0, 2), np.int64)]
    for begin, end in portions(borders):
        inside = members[borders[begin] : borders[end]]
        signatures_DP = np.ascontiguousarray(signature_of(inside))
        links = np.empty((len(inside), 2), np.int64)
        count = link(signatures_DP, borders[begin : end + 1] - borders[begin], needed(signatures_DP, threshold), links)
        found.append(inside[links[:count]])
    return np.concatenate(found)


def needed(signatures_DP: Signatures, threshold: float) -> int:
    """Give in how many numbers signatures must agree to reach a threshold, whatever its last bit is rounded to."""
    return int(np.ceil(threshold * signatures_DP.shape[1] - 1e-9))


def portions(borders: Ints) -> Iterator[tuple[int, int]]:
    """Cut a row of groups into runs of at most FETCH documents, or of one group; yields indices of borders."""
    begin = 0
    while begin < len(borders) - 1:
        end = max(int(np.searchsorted(borders, borders[begin] + FETCH, side="right")) - 1, begin + 1)
        yield begin, end
        begin = end


def _groups(eligible: Ints, keys_D: Hashes, next_keys_D: Hashes, names_D: Hashes) -> tuple[Ints, Ints]:
    """Give the documents that share a key, group by group, and the groups' borders; long groups are cut."""
    order = eligible[np.argsort(keys_D[eligible], kind="stable")]
    keys = keys_D[order]
    same = keys[1:] == keys[:-1]
    shared = np.zeros(len(order), bool)
    shared[1:] |= same
    shared[:-1] |= same
    members = order[shared]
    members = members[np.lexsort((names_D[members], next_keys_D[members], keys_D[members]))]
    keys = keys_D[members]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(members) else np.empty(0, np.int64)
    place = np.arange(len(members)) - np.repeat(starts, np.diff([*starts, len(members)]))
    return members, np.append(np.flatnonzero(place % BLOCK == 0), len(members)).astype(np.int64)
