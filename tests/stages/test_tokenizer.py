from pathlib import Path

import pytest

from pipeline.core.errors import DataError
from pipeline.core.store import Store
from pipeline.text.encode import load, special_ids
from pipeline.text.vocab import SPECIALS
from tests.stages.conftest import Workshop, files_of

ALL = pytest.mark.parametrize("algorithm", ["wordpiece", "bpe", "unigram"])


@ALL
def test_the_vocabulary_has_exactly_the_size_asked_for(workshop: Workshop, news: list[str], algorithm: str) -> None:
    plan = workshop.plan(workshop.write({"a.txt": news[:50]}), tokenizer={"algorithm": algorithm})
    tokenizer = workshop.make(plan["tokenizer"])
    assert tokenizer.manifest["facts"]["vocab_size"] == 400
    names = {"wordpiece": {"vocab.txt"}, "bpe": {"vocab.json", "merges.txt"}, "unigram": {"unigram.json"}}[algorithm]
    assert files_of(tokenizer).keys() == {"tokenizer.json", "tokenizer_config.json", *names}


@ALL
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


@ALL
def test_the_facts_say_how_well_the_vocabulary_fits_documents_it_was_not_learned_from(
    workshop: Workshop, news: list[str], algorithm: str
) -> None:
    plan = workshop.plan(workshop.write({"a.txt": news}), tokenizer={"algorithm": algorithm, "vocab_size": 1500})
    facts = workshop.make(plan["tokenizer"]).manifest["facts"]
    assert facts["measured_on"] == "held-out documents"
    assert 0 < facts["measured_words"] < 0.1 * facts["words"]
    assert 1 < facts["fertility"] < 3
    assert 0.3 < facts["coverage"] < 1
    assert 0 <= facts["unknown_rate"] < 0.01
    assert facts["distinct_words"] < facts["words"]


def test_an_existing_tokenizer_keeps_its_ids_and_is_measured(
    workshop: Workshop, news: list[str], tmp_path: Path
) -> None:
    pieces = [
        *SPECIALS[::-1],
        "the",
        "##s",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"##{x}" for x in "abcdefghijklmnopqrstuvwxyz"),
    ]
    pinned = tmp_path / "vocab.txt"
    pinned.write_text("\n".join(dict.fromkeys(pieces)) + "\n")
    plan = workshop.plan(workshop.write({"a.txt": news[:50]}), tokenizer={"path": str(pinned)})
    made = workshop.make(plan["tokenizer"])
    assert made.file("vocab.txt").read_bytes() == pinned.read_bytes()
    assert special_ids(load(made.file("tokenizer.json").parent)) == [4, 3, 2, 1, 0]
    assert made.manifest["facts"]["vocab_size"] == len(set(pieces))
    assert made.manifest["facts"]["fertility"] > 2


def test_a_changed_existing_tokenizer_is_another_artifact_and_a_moved_one_is_not(
    workshop: Workshop, news: list[str], tmp_path: Path
) -> None:
    sources = workshop.write({"a.txt": news[:50]})
    keys = []
    for name, pieces in (("a", [*SPECIALS, "a"]), ("b", [*SPECIALS, "a"]), ("c", [*SPECIALS, "b"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vocab.txt").write_text("\n".join(pieces) + "\n")
        keys.append(workshop.plan(sources, tokenizer={"path": str(tmp_path / name)})["tokenizer"].key)
    assert keys[0] == keys[1] != keys[2]


def test_a_vocabulary_without_mask_token_is_refused(workshop: Workshop, news: list[str], tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIALS[:-1], "a"]) + "\n")
    plan = workshop.plan(workshop.write({"a.txt": news[:5]}), tokenizer={"path": str(tmp_path)})
    with pytest.raises(DataError, match=r"vocab\.txt: \[MASK\] not in the vocabulary; expected \[PAD\]"):
        workshop.make(plan["tokenizer"])
    assert workshop.store.find(plan["tokenizer"]) is None


def test_a_single_document_is_learned_from_also_if_it_would_be_held_out(
    monkeypatch: pytest.MonkeyPatch, workshop: Workshop, news: list[str]
) -> None:
    monkeypatch.setattr("pipeline.stages.tokenizer.HELD_OUT_SHARE", 1.0)
    plan = workshop.plan(workshop.write({"a.txt": [" ".join(news[:50])]}))
    facts = workshop.make(plan["tokenizer"]).manifest["facts"]
    assert (facts["vocab_size"], facts["measured_on"]) == (400, "all documents")
