from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.arrow import read_batches, read_table
from pipeline.objectives.blocks import Block
from pipeline.objectives.making import ExamplesFile, Making
from pipeline.objectives.masking import Scheme
from tests.objectives.conftest import CLS, FIRST, SEP, numbered

DOCUMENTS = 60
SENTENCES = [5, 9, 2, 7]
MAKING = Making(
    objectives=("mlm", "nsp"),
    sequence_length=24,
    short_probability=0.1,
    seed=1,
    vocab_size=FIRST + DOCUMENTS * sum(SENTENCES),
    cls_id=CLS,
    sep_id=SEP,
)


def stream(documents: int = DOCUMENTS) -> list[Block]:
    """Documents that come three at a time."""
    whole = numbered([SENTENCES] * documents)
    block = Block(whole, np.arange(documents, dtype=np.uint64), np.arange(100, 100 + documents))
    return [block.only((block.row_D - 100) // 3 == at) for at in range(-(-documents // 3))]


def written(path: Path, making: Making = MAKING, **settings: Any) -> tuple[list[dict[str, Any]], ExamplesFile]:
    with ExamplesFile(path, making, shard=7, **settings) as file:
        for block in stream():
            file.add(block)
    return read_table(path).to_pylist(), file


def document_of(token: int) -> int:
    return 100 + (token - FIRST) // sum(SENTENCES)


@pytest.mark.parametrize("block_tokens", [200, 1_000_000])
def test_every_row_names_the_rows_of_its_documents_whatever_the_blocks(tmp_path: Path, block_tokens: int) -> None:
    rows, _ = written(tmp_path / "a.arrow", block_tokens=block_tokens)
    for row in rows:
        found = [document_of(token) for token in row["ids"] if token >= FIRST]
        assert list(dict.fromkeys(found)) == row["rows"]
        assert row["shard"] == 7
    assert {at for row in rows for at in row["rows"]} == set(range(100, 100 + DOCUMENTS))


def test_random_segments_are_drawn_within_a_block(tmp_path: Path) -> None:
    rows, _ = written(tmp_path / "a.arrow", block_tokens=10 * sum(SENTENCES))
    apart = [abs(row["rows"][0] - row["rows"][-1]) for row in rows]
    assert 0 < max(apart) < 20
    assert len(list(read_batches(tmp_path / "a.arrow"))) > 3


def test_facts_and_counts_say_what_was_written(tmp_path: Path) -> None:
    rows, file = written(tmp_path / "a.arrow")
    facts = file.facts()
    assert (facts["documents"], facts["examples"]) == (DOCUMENTS, len(rows))
    assert facts["tokens"] == sum(len(row["ids"]) for row in rows) == file.counts_V.sum()
    assert facts["random_pairs"] == sum(row["label"] == 1 for row in rows)
    assert facts["next_pairs"] + facts["random_pairs"] + facts["none_pairs"] == len(rows)
    assert file.counts_V[CLS] == len(rows)


def test_copies_are_drawn_and_masked_anew_and_the_first_is_as_if_it_were_alone(tmp_path: Path) -> None:
    scheme = Scheme(3, "token", 0.15, MAKING.vocab_size, (0, CLS, SEP, 3, 4), 4)
    once, twice = (
        written(
            tmp_path / f"{copies}.arrow",
            Making(**{**vars(MAKING), "scheme": scheme, "copies": copies}),
            block_tokens=200,
        )[0]
        for copies in (1, 2)
    )
    others = [row for row in twice if row not in once]
    assert [row for row in twice if row in once] == once
    assert len(twice) - len(once) == len(others) > 0.9 * len(once)


def test_an_error_while_reading_is_passed_on_and_what_waits_is_not_written(tmp_path: Path) -> None:
    def fail() -> None:
        with ExamplesFile(tmp_path / "a.arrow", MAKING, shard=0) as file:
            file.add(stream()[0])
            raise RuntimeError("while reading")

    with pytest.raises(RuntimeError, match="while reading"):
        fail()
    assert read_table(tmp_path / "a.arrow").num_rows == 0


def test_no_documents_give_an_empty_file(tmp_path: Path) -> None:
    with ExamplesFile(tmp_path / "a.arrow", MAKING, shard=0) as file:
        pass
    assert read_table(tmp_path / "a.arrow").num_rows == 0
    assert file.facts()["examples"] == 0
