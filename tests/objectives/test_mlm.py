import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.core.seeds import rng
from pipeline.model.heads import MaskedLanguageHead
from pipeline.model.shape import Shape
from pipeline.objectives import OBJECTIVES
from pipeline.objectives.mlm import Masked, mask_batch, mask_examples
from pipeline.objectives.segments import Examples, single_segments
from tests.objectives.conftest import numbered

SPECIALS = (0, 1, 2, 3, 4)
CLS, SEP, MASK = 2, 3, 4
VOCAB = 50
CONTINUES = np.arange(VOCAB) >= 30
BY_TOKEN_OR_WORD = pytest.mark.parametrize("continues_V", [None, CONTINUES], ids=["token", "word"])

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
    continues_V: Any = None,
    vocab_size: int = VOCAB,
) -> tuple[Masked, np.ndarray[Any, Any]]:
    """Mask rows of [CLS] text [SEP], padded with what could be chosen were it not padding; return the ids before too."""
    lengths = np.array([len(text) + 2 for text in texts])
    ids_BT = np.full((len(texts), width or lengths.max()), 9, dtype=np.uint16)
    for row, text in enumerate(texts):
        ids_BT[row, : lengths[row]] = [CLS, *text, SEP]
    numbers = np.array(examples if examples is not None else range(len(texts)))
    result = mask_batch(
        ids_BT,
        lengths,
        numbers,
        np.full(len(texts), epoch),
        seed=seed,
        rate=rate,
        vocab_size=vocab_size,
        special_ids=SPECIALS,
        mask_id=MASK,
        continues_V=continues_V,
    )
    return result, ids_BT


def by_row(result: Masked) -> list[tuple[list[int], list[int], list[int]]]:
    """List columns, labels and ids put there, row by row."""
    row_M, column_M = np.divmod(result.at_M, result.ids_BT.shape[1])
    put_M = result.ids_BT.reshape(-1)[result.at_M]
    return [
        (column_M[row_M == row].tolist(), result.labels_M[row_M == row].tolist(), put_M[row_M == row].tolist())
        for row in range(len(result.ids_BT))
    ]


@BY_TOKEN_OR_WORD
@given(texts=rows, rate=st.floats(0.01, 0.9), seed=st.integers(0, 2**64 - 1))
def test_only_text_is_masked_and_the_labels_are_what_stood_there(
    continues_V: Any, texts: list[list[int]], rate: float, seed: int
) -> None:
    result, before_BT = masked(texts, rate=rate, seed=seed, continues_V=continues_V)
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


@given(texts=rows, rate=st.floats(0.01, 0.9), seed=st.integers(0, 99))
def test_words_are_chosen_whole_and_as_many_as_fit(texts: list[list[int]], rate: float, seed: int) -> None:
    result, _ = masked(texts, rate=rate, seed=seed, continues_V=CONTINUES)
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


@BY_TOKEN_OR_WORD
@given(texts=rows, extra=st.integers(0, 40), data=st.data())
def test_masks_depend_on_no_other_row_nor_on_padding(
    continues_V: Any, texts: list[list[int]], extra: int, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(texts))))
    numbers = [3 * at for at in range(len(texts))]
    together, _ = masked(texts, examples=numbers, continues_V=continues_V)
    shuffled, _ = masked(
        [texts[at] for at in order], examples=[numbers[at] for at in order], width=32 + extra, continues_V=continues_V
    )
    alone = [
        by_row(masked([text], examples=[at], continues_V=continues_V)[0])[0]
        for text, at in zip(texts, numbers, strict=True)
    ]
    assert by_row(together) == alone
    assert by_row(shuffled) == [alone[at] for at in order]


@BY_TOKEN_OR_WORD
def test_seed_epoch_and_example_each_change_the_draw(continues_V: Any) -> None:
    text = list(range(5, 45)) * 3
    draws = [
        by_row(masked([text], examples=[example], epoch=epoch, seed=seed, continues_V=continues_V)[0])[0][0]
        for seed, epoch, example in [(7, 0, 0), (8, 0, 0), (7, 1, 0), (7, 0, 1), (7, 1, 1), (7, 0, 0)]
    ]
    assert draws[0] == draws[-1]
    assert len({tuple(draw) for draw in draws}) == 5


def test_draws_are_the_same_on_every_machine() -> None:
    """Change this only with the version of the stages that mask."""
    assert by_row(masked([list(range(5, 45))], examples=[11], epoch=3, seed=20_260_101)[0]) == [GOLDEN]


GOLDEN: tuple[list[int], list[int], list[int]] = ([1, 9, 14, 15, 17, 37], [5, 13, 18, 19, 21, 41], [4, 15, 4, 4, 21, 4])


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


def test_shares_hold_with_whole_words() -> None:
    result, _ = masked([[5 + at % 40 for at in range(126)]] * 2000, continues_V=CONTINUES)
    put = result.ids_BT.reshape(-1)[result.at_M]
    within_4_sigma((put == MASK).mean(), 0.8, len(put))
    within_4_sigma((put == result.labels_M).mean(), 0.1 + 0.1 / 45, len(put))


def test_random_tokens_avoid_specials_wherever_they_are() -> None:
    ids_BT = np.full((400, 64), 60, dtype=np.uint16)
    everything = np.full(400, 64)
    result = mask_batch(
        ids_BT,
        everything,
        np.arange(400),
        np.zeros(400, int),
        seed=1,
        rate=0.5,
        vocab_size=70,
        special_ids=(0, 33, 34, 69),
        mask_id=34,
        continues_V=None,
    )
    put = set(result.ids_BT.reshape(-1)[result.at_M].tolist())
    assert put == set(range(70)) - {0, 33, 69}


def test_a_row_of_specials_predicts_nothing() -> None:
    result, before_BT = masked([[1, 1], [7, 8]])
    assert by_row(result)[0] == ([], [], [])
    assert len(by_row(result)[1][0]) == 1
    assert result.ids_BT[0].tolist() == before_BT[0].tolist()


@BY_TOKEN_OR_WORD
def test_an_empty_batch_predicts_nothing(continues_V: Any) -> None:
    nothing = np.zeros(0, int)
    result = mask_batch(
        np.zeros((0, 8), np.uint16),
        nothing,
        nothing,
        nothing,
        seed=1,
        rate=0.15,
        vocab_size=VOCAB,
        special_ids=SPECIALS,
        mask_id=MASK,
        continues_V=continues_V,
    )
    assert result.at_M.size == 0


@given(hnp.arrays(np.int64, st.integers(1, 5), elements=st.integers(0, 2**62)))
def test_any_example_number_is_fine(numbers: np.ndarray[Any, Any]) -> None:
    result, _ = masked([[5, 6, 7]] * len(numbers), examples=numbers.tolist())
    assert len(result.at_M) == len(numbers)


@BY_TOKEN_OR_WORD
def test_static_masks_are_the_dynamic_ones_of_the_epoch_named_by_the_duplicate(continues_V: Any) -> None:
    texts = [[5 + (at + row) % 45 for at in range(5 + row % 40)] for row in range(1500)]
    flat = [token for text in texts for token in [CLS, *text, SEP]]
    at = np.cumsum([0, *(len(text) + 2 for text in texts)])
    none = np.zeros(len(texts), np.int64)
    static = mask_examples(
        Examples(np.array(flat, np.uint16), at, none, none, none, none),
        first_example=100,
        duplicate=2,
        seed=7,
        rate=0.15,
        vocab_size=VOCAB,
        special_ids=SPECIALS,
        mask_id=MASK,
        continues_V=continues_V,
    )
    dynamic, _ = masked(texts, examples=list(range(100, 1600)), epoch=2, continues_V=continues_V)
    for row, (columns, labels, put) in enumerate(by_row(dynamic)):
        begin, end = static.at[row : row + 2]
        assert static.masked_at[begin:end].tolist() == columns
        assert static.masked_ids[begin:end].tolist() == labels
        assert static.ids[at[row] : at[row + 1]][columns].tolist() == put
    assert static.ids.dtype == np.uint16


def test_no_examples_have_no_static_masks() -> None:
    examples = single_segments(numbered([]), sequence_length=9, short_probability=0, cls_id=CLS, sep_id=SEP, rng=rng(1))
    static = mask_examples(
        examples,
        first_example=0,
        duplicate=0,
        seed=7,
        rate=0.15,
        vocab_size=VOCAB,
        special_ids=SPECIALS,
        mask_id=MASK,
        continues_V=None,
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


@dataclass(frozen=True)
class Batch:
    predicted_M: torch.Tensor
    labels_M: torch.Tensor
    next_B: torch.Tensor


def test_the_loss_is_the_sum_over_predicted_positions() -> None:
    torch.manual_seed(1)
    head = OBJECTIVES["mlm"].head(Shape(layers=1, width=8, heads=2, vocab_size=VOCAB, max_positions=16))
    assert isinstance(head, MaskedLanguageHead)
    hidden_BTD, embedding_VD = torch.randn(2, 4, 8, dtype=torch.float32), torch.randn(VOCAB, 8)
    batch = Batch(torch.tensor([1, 6]), torch.tensor([9, 30]), torch.tensor([0, 1]))
    terms = OBJECTIVES["mlm"].loss(head, hidden_BTD, embedding_VD, batch)
    logits = head(torch.stack([hidden_BTD[0, 1], hidden_BTD[1, 2]]), embedding_VD)
    chances = logits.log_softmax(-1)
    assert terms.loss_sum.item() == pytest.approx(-(chances[0, 9] + chances[1, 30]).item(), rel=1e-5)
    assert terms.loss_sum.dtype == torch.float32
    assert terms.count.item() == 2
    assert terms.correct.item() == sum(logits[at].argmax().item() == label for at, label in enumerate([9, 30]))


def test_the_loss_of_half_precision_states_is_single_precision() -> None:
    shape = Shape(layers=1, width=8, heads=2, vocab_size=VOCAB, max_positions=16)
    head = OBJECTIVES["mlm"].head(shape).bfloat16()
    batch = Batch(torch.tensor([1]), torch.tensor([9]), torch.tensor([0]))
    terms = OBJECTIVES["mlm"].loss(head, torch.randn(1, 4, 8).bfloat16(), torch.randn(VOCAB, 8).bfloat16(), batch)
    assert terms.loss_sum.dtype == torch.float32
