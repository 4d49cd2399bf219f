import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.clean import normalise
from pipeline.text.dedup import LONG_BYTES, identity, shard_of
from pipeline.text.sentences import split

TEXT = "It is a far, far better thing that I do. It is a far, far better rest."


def test_an_identity_is_32_hex_digits_and_the_same_in_every_release() -> None:
    assert identity([TEXT]) == "3ed97b30d7b5b2d4b7b20c670158044c"


def test_the_identity_does_not_depend_on_borders_of_sentences_or_on_spaces() -> None:
    assert identity(split(TEXT)) == identity([TEXT]) == identity([normalise(TEXT.replace(" ", "\u2009 "))])


def test_the_identity_sees_case_punctuation_and_order() -> None:
    others = [[TEXT.lower()], [TEXT.replace(",", "")], list(reversed(split(TEXT))), []]
    assert len({identity([TEXT]), *map(identity, others)}) == 5


@given(st.text())
def test_splitting_never_changes_the_identity(text: str) -> None:
    text = normalise(text)
    assert identity(split(text)) == identity([text])


@pytest.mark.parametrize("length", [LONG_BYTES - 1, LONG_BYTES, LONG_BYTES + 1, 100_000])
def test_a_long_text_is_named_as_a_short_one_is(length: int) -> None:
    text = ("Über  alles, \u2009 was — ist. " * length).encode()[:length].decode(errors="ignore")
    assert identity([text]) == hashlib.sha256(text.replace(" ", "").encode()).hexdigest()[:32]


def test_equal_texts_meet_in_one_shard_and_others_spread_evenly() -> None:
    counts = Counter(shard_of(identity([str(number)]), 8) for number in range(8000))
    assert sorted(counts) == list(range(8))
    assert min(counts.values()) > 850  # 1000 expected, standard deviation 30
    assert shard_of(identity([TEXT]), 1) == 0
