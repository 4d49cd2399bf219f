import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models

from pipeline.text.counting import count_words, words_of
from pipeline.text.vocab import lattice, likelihood, spelling, splitter

WORDS = st.dictionaries(st.text("abc", min_size=1, max_size=6), st.integers(1, 9), min_size=1, max_size=6)
PIECES = st.dictionaries(st.text("abc", min_size=2, max_size=4), st.floats(-9, -0.1), max_size=6)


def ways(word: str, scores: dict[str, float]) -> Iterator[tuple[str, ...]]:
    if not word:
        yield ()
    for piece in scores:
        if word.startswith(piece):
            yield from ((piece, *rest) for rest in ways(word[len(piece) :], scores))


def scored(pieces: dict[str, float]) -> dict[str, float]:
    return {"a": -3.0, "b": -4.0, "c": -5.0, **pieces}


@settings(deadline=None)
@given(words=WORDS, pieces=PIECES)
def test_pieces_are_expected_as_often_as_over_all_ways_to_cut(words: dict[str, int], pieces: dict[str, float]) -> None:
    """Against the definition: list every way to cut a word and weigh it by its probability."""
    scores = scored(pieces)
    expected = dict.fromkeys(scores, 0.0)
    for word, count in words.items():
        cuts = [(cut, math.exp(sum(scores[piece] for piece in cut))) for cut in ways(word, scores)]
        whole = sum(probability for _, probability in cuts)
        for cut, probability in cuts:
            for piece in cut:
                expected[piece] += count * probability / whole
    found = lattice.expected(spelling.spell(words_of(words), None), list(scores), np.array(list(scores.values())))
    assert found == pytest.approx(list(expected.values()))


@settings(deadline=None)
@given(words=WORDS, pieces=PIECES)
def test_words_are_cut_in_the_likeliest_way_as_the_library_does(
    words: dict[str, int], pieces: dict[str, float]
) -> None:
    scores = scored(pieces)
    model = models.Unigram([("[UNK]", -99.0), *scores.items()], 0, False)
    numbers = np.array(list(scores.values()))
    found = lattice.counted(spelling.spell(words_of(words), None), list(scores), numbers) @ numbers
    best = sum(count * scores[token.value] for word, count in words.items() for token in model.tokenize(word))
    assert found == pytest.approx(best)


def test_digamma_is_the_derivative_of_the_logarithm_of_the_gamma_function() -> None:
    values = np.array([0.5, 1.0, 2.0, 3.7, 12.0, 1e6])
    slopes = [(math.lgamma(value * (1 + 1e-6)) - math.lgamma(value * (1 - 1e-6))) / (2e-6 * value) for value in values]
    assert lattice.digamma(values)[:-1] == pytest.approx(slopes[:-1], rel=1e-6)
    assert lattice.digamma(values)[-1] == pytest.approx(math.log(1e6 - 0.5))


def test_seeds_are_the_characters_and_the_substrings_that_cover_most() -> None:
    pieces, counts = lattice.seeds(spelling.spell(words_of({"abab": 3, "xy": 1}), None), 16, 7)
    assert dict(zip(pieces, counts.tolist(), strict=True)) == {
        "a": 6,
        "b": 6,
        "x": 1,
        "y": 1,
        "ab": 6,
        "abab": 3,
        "aba": 3,
    }


def test_what_is_found_cuts_a_text_into_its_commonest_words(shared_data: Path) -> None:
    text = (shared_data / "wikipedia/wikiextractor-output-sample/wiki_00").read_text(encoding="utf-8").splitlines()
    found = likelihood.likeliest(count_words(text, splitter("unigram", lowercase=True)), 800)
    pieces = [piece for piece, _ in found]
    assert len(pieces) == len(set(pieces)) == 800
    assert {"▁the", "▁of", "▁and", "e", "▁"} <= set(pieces[:400] + [piece for piece in pieces if len(piece) == 1])
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert 0.9 < sum(math.exp(score) for _, score in found) < 1.001
