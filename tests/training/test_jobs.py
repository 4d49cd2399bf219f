"""What an order becomes before the first step."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.text.vocab import count_words, save, splitter, train
from pipeline.training.batches import Padded
from pipeline.training.jobs import job_of
from pipeline.training.order import Masking, Order

TEXT = ["unbelievably unbelievable believers believed unbelievably"] * 20


@pytest.mark.parametrize("unit", ["word", "span"])
@pytest.mark.parametrize(("algorithm", "vocab_size"), [("wordpiece", 40), ("bpe", 279)])
def test_whole_words_are_masked_together_whatever_the_algorithm(
    algorithm: str, vocab_size: int, unit: Literal["word", "span"], order: Order, tmp_path: Path
) -> None:
    counts = count_words(TEXT, splitter(algorithm, lowercase=True))
    tokenizer = train(algorithm, counts, vocab_size=vocab_size, lowercase=True)
    save(tokenizer, tmp_path)
    ids = tokenizer.encode(TEXT[0]).ids
    words = tokenizer.encode(TEXT[0]).word_ids
    masking = Masking("dynamic", unit, 0.3, 4, (0, 1, 2, 3, 4), tokenizer=str(tmp_path))
    job = job_of(replace(order, masking=masking, shape=replace(order.shape, vocab_size=vocab_size)))
    masks = job.stretches[0].masks
    assert masks is not None
    rows = 50
    padded = Padded(
        np.tile(np.array(ids), (rows, 1)), np.full(rows, len(ids)), np.arange(rows), np.zeros(rows, np.int64)
    )
    _, at_M, _ = masks(padded)
    for row in range(rows):
        hidden = {words[at % len(ids)] for at in at_M if at // len(ids) == row}
        whole = {at for at in range(len(ids)) if words[at] in hidden}
        assert whole == {int(at) % len(ids) for at in at_M if at // len(ids) == row}


def test_a_tokenizer_of_another_size_is_refused(order: Order, tmp_path: Path) -> None:
    save(
        train("wordpiece", count_words(TEXT, splitter("wordpiece", lowercase=True)), vocab_size=40, lowercase=True),
        tmp_path,
    )
    masking = Masking("dynamic", "word", 0.3, 4, (0, 1, 2, 3, 4), tokenizer=str(tmp_path))
    with pytest.raises(DataError, match="has 40 pieces, the order's shape wants 99"):
        job_of(replace(order, masking=masking))
