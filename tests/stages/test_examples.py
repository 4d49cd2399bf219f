import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.core.arrow import read_rows, read_table
from pipeline.core.errors import DataError
from pipeline.core.stage import Step
from pipeline.core.store import Artifact, Store
from pipeline.tables import Next
from pipeline.text.encode import load, special_ids
from pipeline.text.encoders import Nanotoken
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
    documents = [list(read_rows(corpus.file(name))) for name in corpus.names("documents")]
    rows = table(examples, part).select(["shard", "rows"]).to_pylist()
    return {documents[row["shard"]][at]["id"] for row in rows for at in row["rows"]}


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
    documents = [
        [spelled(tokenizer, row["sentences"]) for row in read_rows(corpus.file(name))]
        for name in corpus.names("documents")
    ]
    rows = table(examples, "train").to_pylist() + table(examples, "held_out").to_pylist()
    assert len(rows) > 100
    for row in rows:
        assert row["ids"][0] == cls_id
        assert row["ids"][-1] == sep_id
        assert len(row["ids"]) <= 64
        named = [documents[row["shard"]][at] for at in row["rows"]]
        segments = split_at(row["ids"][1:-1], sep_id)
        assert len(named) == len(segments) or (len(named), len(segments), row["label"] == Next.NONE) == (1, 2, False)
        for at, segment in enumerate(segments):
            assert joined(segment) in named[min(at, len(named) - 1)]
        assert row["second_at"] == (len(row["ids"]) if row["label"] == Next.NONE else len(segments[0]) + 2)
    assert max(len(row["rows"]) for row in rows) == (1 if "sop" in objectives else 2)


def split_at(ids: list[int], separator: int) -> list[list[int]]:
    borders = [-1, *(at for at, token in enumerate(ids) if token == separator), len(ids)]
    return [ids[begin + 1 : end] for begin, end in pairwise(borders)]


def joined(ids: list[int]) -> str:
    return "," + ",".join(map(str, ids)) + ","


def spelled(tokenizer: Any, sentences: list[str]) -> str:
    encodings = [tokenizer.encode(sentence, add_special_tokens=False).ids for sentence in sentences]
    return joined([at for ids in encodings for at in ids])


def test_a_random_next_segment_is_from_another_document_and_a_true_one_from_the_same(
    workshop: Workshop, step: Step
) -> None:
    rows = table(workshop.make(step), "train").to_pylist()
    kinds = Counter((row["label"], len(row["rows"])) for row in rows)
    assert kinds.keys() == {(Next.NEXT, 1), (Next.RANDOM, 2)}
    assert 0.45 < kinds[Next.RANDOM, 2] / len(rows) < 0.85  # always, where one sentence fills the example


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
    phases = [{"sequence_length": 256, "steps": 1, "global_batch": 2}]
    lengths = {}
    for probability in (0.0, 1.0):
        settings = {"short_probability": probability, "objectives": ["mlm"]}
        plan = workshop.plan(source, examples=settings, phases=phases)
        rows = table(workshop.make(plan["examples-256"]), "train").to_pylist()
        lengths[probability] = sum(len(row["ids"]) > 128 for row in rows) / len(rows)
    assert lengths[0.0] > 0.9
    assert 0.2 < lengths[1.0] < 0.7


def test_static_masks_hide_what_is_written_beside_them(workshop: Workshop, news: list[str]) -> None:
    source = workshop.write({"a.txt": news[:60]})
    plain = table(workshop.make(workshop.plan(source)["examples-64"]), "train").to_pylist()
    masked = table(workshop.make(workshop.plan(source, masking=STATIC)["examples-64"]), "train").to_pylist()
    assert len(masked) == len(plain)
    hidden = 0
    for row, original in zip(masked, plain, strict=True):
        assert unmasked(row) == original["ids"]
        assert row["masked_at"] == sorted(set(row["masked_at"]))
        assert row["masked_ids"]
        hidden += len(row["masked_ids"])
    assert hidden / sum(len(row["ids"]) for row in plain) == pytest.approx(0.15, abs=0.01)


def unmasked(row: dict[str, Any]) -> list[int]:
    restored = dict(enumerate(row["ids"])) | dict(zip(row["masked_at"], row["masked_ids"], strict=True))
    return [restored[at] for at in range(len(restored))]


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
    first, both = once.to_pylist(), twice.to_pylist()
    assert len(both) == 2 * len(first)
    again = [row for row in both if row not in first]
    assert len(again) > 0.9 * len(first)  # masked otherwise, but for the shortest
    assert Counter(str(unmasked(row)) for row in both) == Counter(2 * [str(unmasked(row)) for row in first])


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


def test_shards_have_equal_numbers_of_tokens_of_all_documents_files(workshop: Workshop, news: list[str]) -> None:
    source = workshop.write({"a.txt": news})
    examples = workshop.make(workshop.plan(source, examples={"shards": 5, "short_probability": 0.5})["examples-64"])
    shards = [read_table(examples.file(name)) for name in examples.names("train")]
    tokens = [len(pc.list_flatten(shard["ids"])) for shard in shards]
    assert len(tokens) == 5
    assert max(tokens) < 1.05 * min(tokens)
    facts = examples.manifest["facts"]["train"]
    assert (facts["shard_tokens_least"], facts["shard_tokens_most"]) == (min(tokens), max(tokens))
    assert sum(tokens) == facts["tokens"]
    for shard in shards:
        assert set(shard["shard"].to_pylist()) == {0, 1, 2}
        assert abs(np.corrcoef(np.arange(len(shard)), shard["shard"].to_numpy())[0, 1]) < 0.2  # shuffled


def test_another_number_of_shards_deals_the_same_examples_again(workshop: Workshop, news: list[str]) -> None:
    source = workshop.write({"a.txt": news[:60]})
    few, before = workshop.make(workshop.plan(source)["examples-64"]), workshop.pieces("examples")
    step = workshop.plan(source, examples={"shards": 3})["examples-64"]
    more, after = workshop.make(step), workshop.pieces("examples")
    rows = [sorted(map(str, table(examples, "train").to_pylist())) for examples in (few, more)]
    assert rows[0] == rows[1]
    assert len(after) == len(before) + 3
    assert {name: after[name] for name in before} == before


def test_a_changed_document_remakes_the_piece_of_its_file_and_no_other(workshop: Workshop, news: list[str]) -> None:
    """And every shard, for each holds examples of all files: copies, which cost little."""
    settings: dict[str, Any] = {"corpus": {"shards": 6}, "examples": {"shards": 2, "held_out_fraction": 0.1}}
    source = workshop.write({"a.txt": news[:100], "b.txt": news[100:101]})
    settings["tokenizer"] = {"path": str(workshop.make(workshop.plan(source, **settings)["tokenizer"]).path)}
    first = workshop.make(workshop.plan(source, **settings)["examples-64"])
    before = workshop.pieces("examples")
    source = workshop.write({"a.txt": news[:100], "b.txt": []})
    second = workshop.make(workshop.plan(source, **settings)["examples-64"])
    after = workshop.pieces("examples")
    assert len(after) == len(before) + 1 + 2
    assert {name: after[name] for name in before} == before
    assert second.manifest["facts"]["train"]["documents"] < first.manifest["facts"]["train"]["documents"]


def test_facts_name_the_encoder_and_warn_where_a_faster_one_fails(
    workshop: Workshop, news: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = workshop.write({"a.txt": news[:30]})
    facts = workshop.make(workshop.plan(source)["examples-64"]).manifest["facts"]
    assert (facts["encoders"], facts["warnings"]) == (["nanotoken"], [])

    def encode(self: Nanotoken, sentences: Any) -> Any:
        raise ValueError("out of luck")

    monkeypatch.setattr(Nanotoken, "encode", encode)
    facts = workshop.make(workshop.plan(source, seed=1)["examples-64"]).manifest["facts"]
    assert facts["encoders"] == ["distinct chunks"]
    (warning,) = facts["warnings"]
    assert "nanotoken (ValueError: out of luck)" in warning


def test_files_of_documents_may_be_empty_and_shards_too(workshop: Workshop, news: list[str]) -> None:
    settings: dict[str, Any] = {"corpus": {"shards": 12}, "tokenizer": {"vocab_size": 300}}
    plan = workshop.plan(workshop.write({"a.txt": news[:8]}), **settings, examples={"shards": 200})
    examples = workshop.make(plan["examples-64"])
    sizes = [read_table(examples.file(name)).num_rows for name in examples.names("train")]
    assert len(sizes) == 200
    assert 0 in sizes
    assert sum(sizes) == examples.manifest["facts"]["train"]["examples"] > 0
