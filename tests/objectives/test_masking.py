import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.objectives.masking import Masked, Scheme, mask_batch, mask_examples
from pipeline.objectives.segments import Examples

Unit = Literal["token", "word", "span"]

SPECIALS = (0, 1, 2, 3, 4)
CLS, SEP, MASK = 2, 3, 4
VOCAB = 50
CONTINUES = np.arange(VOCAB) >= 30
UNITS: tuple[Unit, ...] = ("token", "word", "span")
WHATEVER_THE_UNIT = pytest.mark.parametrize("unit", UNITS)

ids = st.integers(0, VOCAB - 1)
rows = st.lists(st.lists(ids, min_size=1, max_size=30), min_size=1, max_size=6)


def masked(
    texts: list[list[int]],
    *,
    examples: list[int] | None = None,
    epoch: int = 0,
    seed: int = 7,
    rate: float = 0.15,
    width: int | None = None,
    unit: Unit = "token",
) -> tuple[Masked, np.ndarray[Any, Any]]:
    """Mask rows of [CLS] text [SEP], padded with what could be chosen were it not padding; return the ids before too."""
    lengths = np.array([len(text) + 2 for text in texts])
    ids_BT = np.full((len(texts), width or lengths.max()), 9, dtype=np.uint16)
    for row, text in enumerate(texts):
        ids_BT[row, : lengths[row]] = [CLS, *text, SEP]
    numbers = np.array(examples if examples is not None else range(len(texts)))
    scheme = Scheme(seed, unit, rate, VOCAB, SPECIALS, MASK, CONTINUES)
    return mask_batch(scheme, ids_BT, lengths, numbers, np.full(len(texts), epoch)), ids_BT


def by_row(result: Masked) -> list[tuple[list[int], list[int], list[int]]]:
    """List columns, labels and ids put there, row by row."""
    row_M, column_M = np.divmod(result.at_M, result.ids_BT.shape[1])
    put_M = result.ids_BT.reshape(-1)[result.at_M]
    return [
        (column_M[row_M == row].tolist(), result.labels_M[row_M == row].tolist(), put_M[row_M == row].tolist())
        for row in range(len(result.ids_BT))
    ]


@WHATEVER_THE_UNIT
@given(texts=rows, rate=st.floats(0.01, 0.9), seed=st.integers(0, 2**64 - 1))
def test_only_text_is_masked_and_the_labels_are_what_stood_there(
    unit: Unit, texts: list[list[int]], rate: float, seed: int
) -> None:
    result, before_BT = masked(texts, rate=rate, seed=seed, unit=unit)
    assert result.at_M.tolist() == sorted(set(result.at_M.tolist()))
    assert before_BT.ravel()[result.at_M].tolist() == result.labels_M.tolist()
    assert not set(result.labels_M.tolist()) & set(SPECIALS)
    restored = result.ids_BT.copy()
    restored.reshape(-1)[result.at_M] = result.labels_M
    assert restored.tolist() == before_BT.tolist()
    for text, (columns, _, put) in zip(texts, by_row(result), strict=True):
        assert max(columns, default=0) <= len(text)
        assert not set(put) & (set(SPECIALS) - {MASK})


@given(texts=rows, rate=st.floats(0.01, 0.9))
def test_as_many_tokens_are_chosen_as_in_the_original(texts: list[list[int]], rate: float) -> None:
    result, _ = masked(texts, rate=rate)
    for text, (columns, _, _) in zip(texts, by_row(result), strict=True):
        there = sum(token not in SPECIALS for token in text)
        assert len(columns) == min(there, max(1, round(rate * (len(text) + 2))))


@pytest.mark.parametrize("unit", ["word", "span"])
@given(texts=rows, rate=st.floats(0.01, 0.9), seed=st.integers(0, 99))
def test_words_are_chosen_whole_and_as_many_as_fit(unit: Unit, texts: list[list[int]], rate: float, seed: int) -> None:
    result, _ = masked(texts, rate=rate, seed=seed, unit=unit)
    for text, (columns, _, _) in zip(texts, by_row(result), strict=True):
        words = words_of(text)
        chosen = [word for word in words if set(word) & set(columns)]
        number = max(1, round(rate * (len(text) + 2)))
        assert sorted(column for word in chosen for column in word) == columns
        assert len(columns) <= number or len(chosen) == 1
        assert bool(columns) == bool(words)
        left = [len(word) for word in words if word not in chosen]
        assert not left or min(left) > number - len(columns)


def words_of(text: list[int]) -> list[list[int]]:
    """Columns of each word; a special token ends a word, and so does the start of the text."""
    words: list[list[int]] = []
    before = CLS
    for column, token in enumerate(text, start=1):
        if token not in SPECIALS:
            if CONTINUES[token] and before not in SPECIALS:
                words[-1].append(column)
            else:
                words.append([column])
        before = token
    return words


@WHATEVER_THE_UNIT
@given(texts=rows, extra=st.integers(0, 40), data=st.data())
def test_masks_depend_on_no_other_row_nor_on_padding(
    unit: Unit, texts: list[list[int]], extra: int, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(texts))))
    numbers = [3 * at for at in range(len(texts))]
    together, _ = masked(texts, examples=numbers, unit=unit)
    shuffled, _ = masked(
        [texts[at] for at in order], examples=[numbers[at] for at in order], width=32 + extra, unit=unit
    )
    alone = [by_row(masked([text], examples=[at], unit=unit)[0])[0] for text, at in zip(texts, numbers, strict=True)]
    assert by_row(together) == alone
    assert by_row(shuffled) == [alone[at] for at in order]


@WHATEVER_THE_UNIT
def test_seed_epoch_and_example_each_change_the_draw(unit: Unit) -> None:
    text = list(range(5, 45)) * 3
    draws = [
        by_row(masked([text], examples=[example], epoch=epoch, seed=seed, unit=unit)[0])[0][0]
        for seed, epoch, example in [(7, 0, 0), (8, 0, 0), (7, 1, 0), (7, 0, 1), (7, 1, 1), (7, 0, 0)]
    ]
    assert draws[0] == draws[-1]
    assert len({tuple(draw) for draw in draws}) == 5


@WHATEVER_THE_UNIT
def test_draws_are_the_same_on_every_machine(unit: Unit) -> None:
    """Change this only with the version of the stages that mask."""
    result, _ = masked([list(range(5, 45))], examples=[11], epoch=3, seed=20_260_101, unit=unit)
    assert by_row(result) == [GOLDEN[unit]]


GOLDEN: dict[Unit, tuple[list[int], list[int], list[int]]] = {
    "token": ([1, 2, 5, 25, 27, 29], [5, 6, 9, 29, 31, 33], [4, 4, 4, 4, 4, 33]),
    "word": ([1, 4, 5, 16, 18, 19], [5, 8, 9, 20, 22, 23], [4, 4, 4, 21, 4, 4]),
    "span": ([4, 5, 6, 7, 8, 9], [8, 9, 10, 11, 12, 13], [4, 4, 4, 4, 4, 4]),
}


def test_shares_are_those_of_the_paper() -> None:
    result, before_BT = masked([[5 + at % 40 for at in range(126)]] * 2000, rate=0.15)
    put = result.ids_BT.reshape(-1)[result.at_M]
    assert len(put) == 2000 * 19
    within_4_sigma((put == MASK).mean(), 0.8, len(put))
    stayed = 0.1 + 0.1 / 45  # a random token may be the same
    within_4_sigma((put == result.labels_M).mean(), stayed, len(put))
    random = put[(put != MASK) & (put != result.labels_M)]
    assert set(random.tolist()) == set(range(5, VOCAB))
    assert chi_square(np.bincount(random, minlength=VOCAB)[5:]) < 45 + 4 * np.sqrt(2 * 45)
    columns = np.bincount(result.at_M % before_BT.shape[1], minlength=128)[1:127]
    assert chi_square(columns) < 126 + 4 * np.sqrt(2 * 126)


def within_4_sigma(seen: float, share: float, number: int) -> None:
    assert abs(seen - share) < 4 * np.sqrt(share * (1 - share) / number)


def chi_square(counts: np.ndarray[Any, Any]) -> float:
    return float(((counts - counts.mean()) ** 2 / counts.mean()).sum())


SINGLE_WORDS = [[5 + at % 25 for at in range(510)]] * 400
"""Rows of words of one token each."""


def test_spans_are_as_long_as_in_the_paper() -> None:
    """Against a simulation of the paper's procedure: the runs of hidden tokens have the same lengths."""
    result, _ = masked(SINGLE_WORDS, unit="span")
    ours = [run for columns, _, _ in by_row(result) for run in run_lengths(columns)]
    draw = np.random.default_rng(1)
    theirs = [run for _ in range(400) for run in run_lengths(sorted(spans_of_the_paper(draw, 510, 77)))]
    for longest in (1, 2, 4, 8):
        share, other = np.mean(np.array(ours) <= longest), np.mean(np.array(theirs) <= longest)
        assert abs(share - other) < 4 * np.sqrt(2 * share * (1 - share) / len(ours))
    assert abs(np.mean(ours) - np.mean(theirs)) < 4 * np.std(theirs) * np.sqrt(2 / len(ours))


def spans_of_the_paper(draw: np.random.Generator, words: int, budget: int) -> set[int]:
    chances = 0.2 * 0.8 ** np.arange(10)
    hidden: set[int] = set()
    while len(hidden) < budget:
        length = 1 + int(draw.choice(10, p=chances / chances.sum()))
        begin = int(draw.integers(words))
        free = [begin] if begin not in hidden else []
        while free and len(free) < length and free[-1] + 1 < words and free[-1] + 1 not in hidden:
            free.append(free[-1] + 1)
        hidden |= set(free[: budget - len(hidden)])
    return hidden


def run_lengths(columns: list[int]) -> list[int]:
    starts = [at for at, column in enumerate(columns) if at == 0 or column != columns[at - 1] + 1]
    return [end - begin for begin, end in pairwise([*starts, len(columns)])]


def test_a_span_is_hidden_alike_in_all_its_tokens() -> None:
    result, _ = masked(SINGLE_WORDS, unit="span", rate=0.03)
    mixed = []
    for columns, labels, put in by_row(result):
        fates = [
            "mask" if new == MASK else "kept" if new == old else "random" for new, old in zip(put, labels, strict=True)
        ]
        for length in run_lengths(columns):
            mixed.append(len(set(fates[:length]) - {"kept"}) > 1)
            fates = fates[length:]
    assert np.mean(mixed) < 0.03  # where two spans touch, and where a random token is the true one
    put = result.ids_BT.reshape(-1)[result.at_M]
    spans = len(put) / 3.8
    assert abs((put == MASK).mean() - 0.8) < 4 * np.sqrt(0.8 * 0.2 / spans) * 1.3  # long spans weigh more


def test_a_span_ends_with_its_segment() -> None:
    text = [5, 6, 7, SEP] * 40
    result, before_BT = masked([text] * 50, unit="span")
    assert not (result.labels_M == SEP).any()
    assert (result.ids_BT == SEP).sum() == (before_BT == SEP).sum()


def test_shares_hold_with_whole_words() -> None:
    result, _ = masked([[5 + at % 40 for at in range(126)]] * 2000, unit="word")
    put = result.ids_BT.reshape(-1)[result.at_M]
    within_4_sigma((put == MASK).mean(), 0.8, len(put))
    within_4_sigma((put == result.labels_M).mean(), 0.1 + 0.1 / 45, len(put))


def test_random_tokens_avoid_specials_wherever_they_are() -> None:
    ids_BT = np.full((400, 64), 60, dtype=np.uint16)
    everything = np.full(400, 64)
    scheme = Scheme(1, "token", 0.5, 70, (0, 33, 34, 69), 34)
    result = mask_batch(scheme, ids_BT, everything, np.arange(400), np.zeros(400, int))
    put = set(result.ids_BT.reshape(-1)[result.at_M].tolist())
    assert put == set(range(70)) - {0, 33, 69}


def test_a_row_of_specials_predicts_nothing() -> None:
    result, before_BT = masked([[1, 1], [7, 8]])
    assert by_row(result)[0] == ([], [], [])
    assert len(by_row(result)[1][0]) == 1
    assert result.ids_BT[0].tolist() == before_BT[0].tolist()


@WHATEVER_THE_UNIT
def test_an_empty_batch_predicts_nothing(unit: Unit) -> None:
    nothing = np.zeros(0, int)
    scheme = Scheme(1, unit, 0.15, VOCAB, SPECIALS, MASK, CONTINUES)
    result = mask_batch(scheme, np.zeros((0, 8), np.uint16), nothing, nothing, nothing)
    assert result.at_M.size == 0


@given(hnp.arrays(np.int64, st.integers(1, 5), elements=st.integers(0, 2**62)))
def test_any_example_number_is_fine(numbers: np.ndarray[Any, Any]) -> None:
    result, _ = masked([[5, 6, 7]] * len(numbers), examples=numbers.tolist())
    assert len(result.at_M) == len(numbers)


@WHATEVER_THE_UNIT
def test_static_masks_are_the_dynamic_ones_of_the_epoch_named_by_the_duplicate(unit: Unit) -> None:
    texts = [[5 + (at + row) % 45 for at in range(5 + row % 40)] for row in range(5000)]
    flat = [token for text in texts for token in [CLS, *text, SEP]]
    at = np.cumsum([0, *(len(text) + 2 for text in texts)])
    scheme = Scheme(7, unit, 0.15, VOCAB, SPECIALS, MASK, CONTINUES)
    static = mask_examples(scheme, examples_of(np.array(flat, np.uint16), at), first_example=100, duplicate=2)
    dynamic, _ = masked(texts, examples=list(range(100, 5100)), epoch=2, unit=unit)
    for row, (columns, labels, put) in enumerate(by_row(dynamic)):
        begin, end = static.at[row : row + 2]
        assert static.masked_at[begin:end].tolist() == columns
        assert static.masked_ids[begin:end].tolist() == labels
        assert static.ids[at[row] : at[row + 1]][columns].tolist() == put
    assert static.ids.dtype == np.uint16


def examples_of(ids: np.ndarray[Any, Any], at: np.ndarray[Any, Any]) -> Examples:
    none = np.zeros(len(at) - 1, np.int64)
    return Examples(ids, at, none, none, none, np.arange(len(at)))


def test_no_examples_have_no_static_masks() -> None:
    scheme = Scheme(7, "token", 0.15, VOCAB, SPECIALS, MASK)
    static = mask_examples(
        scheme, examples_of(np.zeros(0, np.uint16), np.zeros(1, np.int64)), first_example=0, duplicate=0
    )
    assert (len(static.ids), static.at.tolist()) == (0, [0])


@pytest.mark.parametrize("name", ["alice11", "sample_text"])
def test_google_masks_as_many_tokens_and_in_the_same_shares(name: str, shared_data: Path) -> None:
    path = shared_data / f"oracle/create-pretraining-reference-A/{name}.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        instances = [json.loads(line) for line in file]
    ours, _ = masked([[7] * (len(instance["tokens"]) - 2) for instance in instances])
    numbers = [len(columns) for columns, _, _ in by_row(ours)]
    assert numbers == [len(instance["masked_lm_positions"]) for instance in instances]
    theirs = np.array(
        [
            (instance["tokens"][at] == "[MASK]", instance["tokens"][at] == label)
            for instance in instances
            for at, label in zip(instance["masked_lm_positions"], instance["masked_lm_labels"], strict=True)
        ]
    )
    put = ours.ids_BT.reshape(-1)[ours.at_M]
    for there, here in [(theirs[:, 0], put == MASK), (theirs[:, 1], put == 7)]:
        error = np.sqrt(2 * here.mean() * (1 - here.mean()) / len(here))
        assert abs(there.mean() - here.mean()) < 4 * error
