from pathlib import Path

import pytest

from pipeline.core.errors import DataError
from pipeline.core.store import Store
from tests.stages.conftest import Workshop, files_of

BOTH = pytest.mark.parametrize("algorithm", ["wordpiece", "bpe"])


@BOTH
def test_the_vocabulary_has_exactly_the_size_asked_for(workshop: Workshop, news: list[str], algorithm: str) -> None:
    plan = workshop.plan(workshop.write({"a.txt": news[:50]}), tokenizer={"algorithm": algorithm})
    tokenizer = workshop.make(plan["tokenizer"])
    assert tokenizer.manifest["facts"]["vocab_size"] == 400
    names = {"wordpiece": {"vocab.txt"}, "bpe": {"vocab.json", "merges.txt"}}[algorithm]
    assert files_of(tokenizer).keys() == {"tokenizer.json", "tokenizer_config.json", *names}


@BOTH
def test_bytes_depend_neither_on_shards_nor_on_which_file_a_text_is_in(
    tmp_path: Path, workshop: Workshop, news: list[str], algorithm: str
) -> None:
    made = []
    for shards, cut in ((1, 20), (7, 35)):
        there = Workshop(tmp_path / str(shards), Store(tmp_path / f"store-{shards}").open())
        sources = there.write({"a.txt": news[:cut], "b.txt": news[cut:50]})
        plan = there.plan(sources, corpus={"shards": shards}, tokenizer={"algorithm": algorithm})
        made.append(files_of(there.make(plan["tokenizer"])))
    assert made[0] == made[1]


def test_a_corpus_too_small_for_the_vocabulary_says_what_it_yields(workshop: Workshop, news: list[str]) -> None:
    plan = workshop.plan(workshop.write({"a.txt": news[:2]}), tokenizer={"vocab_size": 5000})
    with pytest.raises(
        DataError,
        match=r"^recipe\.tokenizer\.vocab_size=5000 is more than the corpus yields: \d+ pieces; lower recipe\.tokenizer",
    ):
        workshop.make(plan["tokenizer"])
    assert workshop.store.find(plan["tokenizer"]) is None
    assert workshop.store.find(plan["corpus"]) is not None


def test_a_vocabulary_too_small_for_the_alphabet_is_refused(workshop: Workshop) -> None:
    letters = " ".join(chr(0x4E00 + number) for number in range(400))
    plan = workshop.plan(workshop.write({"a.txt": [letters]}), tokenizer={"vocab_size": 300})
    with pytest.raises(DataError, match=r"^recipe\.tokenizer\.vocab_size=300 is too small: .* alone are \d+ pieces"):
        workshop.make(plan["tokenizer"])


def test_another_size_counts_no_word_again_and_another_case_counts_all(workshop: Workshop, news: list[str]) -> None:
    sources = workshop.write({"a.txt": news[:50]})
    workshop.make(workshop.plan(sources)["tokenizer"])
    assert len(workshop.pieces("tokenizer")) == 3 + 1
    workshop.make(workshop.plan(sources, tokenizer={"vocab_size": 401})["tokenizer"])
    assert len(workshop.pieces("tokenizer")) == 3 + 2
    workshop.make(workshop.plan(sources, tokenizer={"lowercase": False})["tokenizer"])
    assert len(workshop.pieces("tokenizer")) == 6 + 3


def test_a_changed_file_counts_again_only_the_shards_it_touches(workshop: Workshop, news: list[str]) -> None:
    plan = workshop.plan(workshop.write({"a.txt": news[:50]}))
    workshop.make(plan["tokenizer"])
    before = workshop.pieces("tokenizer")
    workshop.make(workshop.plan(workshop.write({"a.txt": news[:51]}))["tokenizer"])
    after = workshop.pieces("tokenizer")
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2  # one shard's counts, one vocabulary
