import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.core.arrow import read_rows, read_table
from pipeline.core.errors import DataError
from pipeline.core.stage import Step
from pipeline.core.store import Artifact, Store
from pipeline.tables import Next
from pipeline.text.encode import load, special_ids
from tests.stages.conftest import Workshop, files_of

STATIC = {"mode": "static"}


def table(examples: Artifact, part: str) -> pa.Table:
    return pa.concat_tables([read_table(examples.file(name)) for name in examples.names(part)])


def made(workshop: Workshop, step: Step) -> tuple[Artifact, Artifact, Artifact]:
    """The examples, and the corpus and tokenizer they are made from."""
    examples = workshop.make(step)
    found = {role: workshop.store.find(needed) for role, needed in step.inputs.items()}
    corpus, tokenizer = found["corpus"], found["tokenizer"]
    assert corpus is not None
    assert tokenizer is not None
    return examples, corpus, tokenizer


def held_out_ids(examples: Artifact, corpus: Artifact, part: str) -> set[str]:
    """The documents that the examples of a part were taken from."""
    used = set()
    for shard, name in zip(examples.names(part), corpus.names("documents"), strict=True):
        documents = list(read_rows(corpus.file(name)))
        for row in read_rows(examples.file(shard)):
            used |= {documents[row["first_row"]]["id"]}
            used |= {documents[row["second_row"]]["id"]} if row["second_row"] >= 0 else set()
    return used


@pytest.fixture
def step(workshop: Workshop, news: list[str]) -> Step:
    return workshop.plan(workshop.write({"news.txt": news[:120]}))["examples-64"]


def test_held_out_documents_are_never_trained_on(workshop: Workshop, step: Step) -> None:
    examples, corpus, _ = made(workshop, step)
    trained, held = (held_out_ids(examples, corpus, part) for part in ("train", "held_out"))
    assert not trained & held
    facts = examples.manifest["facts"]
    assert (facts["train"]["documents"], facts["held_out"]["documents"]) == (len(trained), len(held))
    assert 3 <= len(held) <= 25  # of about 120, a tenth


def test_a_document_is_held_out_by_its_id_whatever_else_the_corpus_holds(workshop: Workshop, news: list[str]) -> None:
    small = workshop.plan(workshop.write({"a.txt": news[:60]}))["examples-64"]
    large = workshop.plan(workshop.write({"b.txt": news[:200]}), corpus={"shards": 5}, seed=9)["examples-64"]
    parts = []
    for step in (small, large):
        examples, corpus, _ = made(workshop, step)
        parts.append([held_out_ids(examples, corpus, part) for part in ("train", "held_out")])
    (train, held), (more_train, more_held) = parts
    assert train <= more_train
    assert held <= more_held


def test_nothing_is_held_out_if_nothing_is_asked_for(workshop: Workshop, news: list[str]) -> None:
    plan = workshop.plan(workshop.write({"a.txt": news[:30]}), examples={"held_out_fraction": 0.0})
    examples = workshop.make(plan["examples-64"])
    assert table(examples, "held_out").num_rows == 0
    assert examples.manifest["facts"]["held_out"]["examples"] == 0


def test_a_corpus_that_is_all_held_out_gives_nothing_to_train_on(workshop: Workshop, news: list[str]) -> None:
    step = workshop.plan(workshop.write({"a.txt": news[:30]}), examples={"held_out_fraction": 0.999999})["examples-64"]
    with pytest.raises(
        DataError,
        match=r"^recipe\.corpus\.sources: the corpus gives no example to train on; .*held_out_fraction=0\.999999$",
    ):
        workshop.make(step)
    assert workshop.store.find(step) is None


@pytest.mark.parametrize("objectives", [["mlm", "nsp"], ["mlm", "sop"], ["mlm"]])
def test_segments_are_stretches_of_the_documents_they_name(
    workshop: Workshop, news: list[str], objectives: list[str]
) -> None:
    plan = workshop.plan(workshop.write({"a.txt": news[:60]}), examples={"objectives": objectives})
    examples, corpus, vocabulary = made(workshop, plan["examples-64"])
    tokenizer = load(vocabulary.path)
    _, _, cls_id, sep_id, _ = special_ids(tokenizer)
    count = 0
    for part in ("train", "held_out"):
        for shard, name in zip(examples.names(part), corpus.names("documents"), strict=True):
            documents = [spelled(tokenizer, row["sentences"]) for row in read_rows(corpus.file(name))]
            for row in read_rows(examples.file(shard)):
                first, second = row["ids"][: row["second_at"]], row["ids"][row["second_at"] :]
                assert (first[0], first[-1]) == (cls_id, sep_id)
                assert joined(first[1:-1]) in documents[row["first_row"]]
                assert len(row["ids"]) <= 64
                assert (row["second_row"] >= 0) is bool(second)
                if second:
                    assert second[-1] == sep_id
                    assert joined(second[:-1]) in documents[row["second_row"]]
                count += 1
    assert count > 100


def joined(ids: list[int]) -> str:
    return "," + ",".join(map(str, ids)) + ","


def spelled(tokenizer: Any, sentences: list[str]) -> str:
    encodings = [tokenizer.encode(sentence, add_special_tokens=False).ids for sentence in sentences]
    return joined([at for ids in encodings for at in ids])


def test_a_random_next_segment_is_from_another_document_and_a_true_one_from_the_same(
    workshop: Workshop, step: Step
) -> None:
    rows = table(workshop.make(step), "train").to_pylist()
    kinds = Counter((row["label"], row["first_row"] == row["second_row"]) for row in rows)
    assert kinds.keys() == {(Next.NEXT, True), (Next.RANDOM, False)}
    assert 0.45 < kinds[Next.RANDOM, False] / len(rows) < 0.85  # always, where one sentence fills the example


def test_facts_say_what_the_files_hold(workshop: Workshop, step: Step) -> None:
    examples = workshop.make(step)
    facts = examples.manifest["facts"]
    for part in ("train", "held_out"):
        rows = table(examples, part).to_pylist()
        assert facts[part]["examples"] == len(rows)
        assert facts[part]["tokens"] == sum(len(row["ids"]) for row in rows)
        assert facts[part]["random_pairs"] == sum(row["label"] == Next.RANDOM for row in rows)
        assert facts[part]["next_pairs"] + facts[part]["random_pairs"] + facts[part]["none_pairs"] == len(rows)
    counts = Counter(at for row in table(examples, "train").to_pylist() for at in row["ids"] if at >= 5)
    shares = [count / counts.total() for count in counts.values()]
    assert facts["unigram_entropy_nats"] == pytest.approx(-sum(share * math.log(share) for share in shares))


def test_short_examples_come_as_often_as_asked_for(workshop: Workshop, news: list[str]) -> None:
    source = workshop.write({"a.txt": news[:120]})
    lengths = {}
    for probability in (0.0, 1.0):
        plan = workshop.plan(source, examples={"short_probability": probability, "objectives": ["mlm"]})
        rows = table(workshop.make(plan["examples-64"]), "train").to_pylist()
        lengths[probability] = sum(len(row["ids"]) == 64 for row in rows) / len(rows)
    assert lengths[0.0] > 0.7  # all but the ends of documents
    assert lengths[1.0] < 0.3


def test_static_masks_hide_what_is_written_beside_them(workshop: Workshop, news: list[str]) -> None:
    source = workshop.write({"a.txt": news[:60]})
    plain = table(workshop.make(workshop.plan(source)["examples-64"]), "train").to_pylist()
    masked = table(workshop.make(workshop.plan(source, masking=STATIC)["examples-64"]), "train").to_pylist()
    assert len(masked) == len(plain)
    hidden = 0
    for row, original in zip(masked, plain, strict=True):
        restored = list(row["ids"])
        for at, token in zip(row["masked_at"], row["masked_ids"], strict=True):
            restored[at] = token
        assert restored == original["ids"]
        assert row["masked_at"] == sorted(set(row["masked_at"]))
        assert row["masked_ids"]
        hidden += len(row["masked_ids"])
    assert hidden / sum(len(row["ids"]) for row in plain) == pytest.approx(0.15, abs=0.01)


def test_the_unigram_entropy_is_that_of_the_text_and_not_of_its_masks(workshop: Workshop, news: list[str]) -> None:
    source = workshop.write({"a.txt": news[:60]})
    plain = workshop.make(workshop.plan(source)["examples-64"]).manifest["facts"]
    masked = workshop.make(workshop.plan(source, masking={**STATIC, "rate": 0.5})["examples-64"]).manifest["facts"]
    assert masked["unigram_entropy_nats"] == pytest.approx(plain["unigram_entropy_nats"], abs=1e-12)


def test_duplicates_are_the_same_corpus_masked_and_paired_anew(workshop: Workshop, news: list[str]) -> None:
    source = workshop.write({"a.txt": news[:60]})
    settings = {"examples": {"objectives": ["mlm"], "short_probability": 0.0}, "corpus": {"shards": 1}}
    once, twice = (
        table(
            workshop.make(workshop.plan(source, **settings, masking={**STATIC, "duplicates": n})["examples-64"]),
            "train",
        )
        for n in (1, 2)
    )
    assert twice.num_rows == 2 * once.num_rows
    first, second = twice.slice(0, once.num_rows), twice.slice(once.num_rows)
    assert first.to_pylist() == once.to_pylist()
    assert second["first_row"].to_pylist() == first["first_row"].to_pylist()
    same = [a == b for a, b in zip(first["masked_at"].to_pylist(), second["masked_at"].to_pylist(), strict=True)]
    assert sum(same) < len(same) / 10


def test_whole_words_are_masked_where_asked_for(workshop: Workshop, news: list[str]) -> None:
    plan = workshop.plan(workshop.write({"a.txt": news[:60]}), masking={**STATIC, "unit": "word"})
    examples, _, vocabulary = made(workshop, plan["examples-64"])
    tokenizer = load(vocabulary.path)
    goes_on = {at for piece, at in tokenizer.get_vocab().items() if piece.startswith("##")}
    for row in table(examples, "train").to_pylist():
        original = dict(enumerate(row["ids"])) | dict(zip(row["masked_at"], row["masked_ids"], strict=True))
        masked = set(row["masked_at"])
        for at, after in pairwise(range(len(row["ids"]))):
            if original[after] in goes_on:
                assert (at in masked) is (after in masked) or original[at] < 5  # a word cut off begins after [SEP]


def test_the_same_recipe_gives_the_same_bytes_in_another_store(tmp_path: Path, news: list[str]) -> None:
    digests = []
    for name in ("here", "there"):
        workshop = Workshop(tmp_path / name, Store(tmp_path / f"{name} store").open())
        plan = workshop.plan(workshop.write({"a.txt": news[:60]}), masking={**STATIC, "duplicates": 2})
        digests.append(files_of(workshop.make(plan["examples-64"])))
    assert digests[0] == digests[1]


def test_another_seed_draws_other_examples(workshop: Workshop, news: list[str]) -> None:
    source = workshop.write({"a.txt": news[:60]})
    drawn = [table(workshop.make(workshop.plan(source, seed=seed)["examples-64"]), "train") for seed in (0, 1)]
    assert drawn[0] != drawn[1]


def test_shards_are_drawn_each_for_itself(workshop: Workshop, news: list[str]) -> None:
    """No two shards see the same draws: equal documents in both would else be cut and masked alike."""
    examples = workshop.make(workshop.plan(workshop.write({"a.txt": news[:120]}))["examples-64"])
    labels = [read_table(examples.file(name))["label"].to_pylist() for name in examples.names("train")]
    shortest = min(map(len, labels))
    assert shortest > 50
    assert len({tuple(shard[:shortest]) for shard in labels}) == len(labels)


def test_shards_without_documents_give_files_without_examples(workshop: Workshop, news: list[str]) -> None:
    plan = workshop.plan(workshop.write({"a.txt": news[:8]}), corpus={"shards": 12}, tokenizer={"vocab_size": 300})
    examples = workshop.make(plan["examples-64"])
    sizes = [read_table(examples.file(name)).num_rows for name in examples.names("train")]
    assert len(sizes) == 12
    assert 0 in sizes
    assert sum(sizes) == examples.manifest["facts"]["train"]["examples"] > 0
