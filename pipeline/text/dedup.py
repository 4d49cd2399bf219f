"""Which documents are the same text, and which shard a text belongs to."""

import hashlib
from collections.abc import Iterable

IDENTITY_DIGITS = 32


def identity(sentences: Iterable[str]) -> str:
    """Name a normalised text by its characters: 32 hex digits of the SHA-256 of its UTF-8 without its spaces.

    Spaces are left out so that the name depends neither on where lines were broken nor on where sentences were split:
    `identity(split(text)) == identity([text])`. Case counts, since a cased model learns from it.
    """
    text = "".join(sentences).encode().translate(None, b" ")  # twice as fast as replacing spaces in the string
    return hashlib.sha256(text).hexdigest()[:IDENTITY_DIGITS]


def shard_of(identity: str, shards: int) -> int:
    """Deal a text to one of `shards` shards; equal texts meet in one."""
    return int(identity, 16) % shards
