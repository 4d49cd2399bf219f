"""Randomness as an argument: every draw names what it is for, nothing uses a global generator."""

import hashlib

from numpy.random import Generator, Philox


def seed_of(seed: int, *names: str | int) -> int:
    """Derive a 64-bit seed for one purpose, e.g. `seed_of(7, "examples", shard)`."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def rng(seed: int, *names: str | int) -> Generator:
    """Make the generator for one purpose; the same names give the same draws on every machine."""
    return Generator(Philox(seed_of(seed, *names)))
