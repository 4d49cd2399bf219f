import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.objectives import nsp
from pipeline.objectives.nsp import pairs
from pipeline.objectives.segments import Examples
from pipeline.tables import Next
from pipeline.text.encode import Gate, encode_documents, load
from pipeline.text.encoded import Encoded
from pipeline.text.vocab import save, wordpiece
from tests.objectives.conftest import CLS, SEP, documents, keys, numbered, row_of, rows, segments, stretches, tokens


def made(encoded: Encoded, *, limit: int = 32, short: float = 0.1, seed: int = 0) -> Examples:
    settings = {"sequence_length": limit, "short_probability": short, "cls_id": CLS, "sep_id": SEP}
    return pairs(encoded, keys(encoded), **settings, seed=seed)


@given(documents, st.integers(5, 40), st.integers(0, 99))
def test_every_pair_is_from_the_documents_it_names(lengths: list[list[int]], limit: int, seed: int) -> None:
    encoded = numbered(lengths)
    examples = made(encoded, limit=limit, short=0.3, seed=seed)
    assert np.diff(examples.at).max(initial=0) <= limit
    for at in range(len(examples)):
        first, second = segments(examples, at)
        named = rows(examples, at)
        assert row_of(encoded, first) == named[0]
        if examples.label[at] == Next.NONE:
            assert (second, len(named)) == ([], 1)
            continue
        assert row_of(encoded, second) == named[-1]
        assert len(named) == (1 if examples.label[at] == Next.NEXT else 2)
        assert len(named) == 2 or first[-1] < second[0]


@given(documents, st.integers(0, 99))
def test_every_token_is_used_once_in_a_or_in_the_b_that_follows(lengths: list[list[int]], seed: int) -> None:
    """With room for everything and short targets nothing is cut."""
    encoded = numbered(lengths)
    examples = made(encoded, limit=2 * len(encoded.ids_N) + 8, short=1.0, seed=seed)
    used: list[int] = []
    for at in range(len(examples)):
        first, second = segments(examples, at)
        used += first + (second if examples.label[at] == Next.NEXT else [])
    assert used == list(range(len(encoded.ids_N)))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=9), st.integers(0, 99))
def test_a_shard_of_one_document_makes_no_random_pairs(lengths: list[int], seed: int) -> None:
    encoded = numbered([[], lengths, []])
    examples = made(encoded, short=0.5, seed=seed)
    assert len(examples) > 0
    assert set(examples.label.tolist()) <= {Next.NEXT, Next.NONE}
    assert set(examples.documents.tolist()) == {1}
    lone = len(lengths) == 1
    assert (examples.label[0] == Next.NONE) or not lone


def test_b_follows_half_the_time_where_it_can() -> None:
    labels = made(numbered([[3] * 4000] * 5)).label
    assert abs((labels == Next.RANDOM).mean() - 0.5) < 4 * np.sqrt(0.25 / len(labels))


def test_random_documents_are_drawn_evenly_from_the_others() -> None:
    examples = made(numbered([[3] * 4000] * 5), short=0)
    named = [rows(examples, at) for at in np.flatnonzero(examples.label == Next.RANDOM).tolist()]
    for row in range(5):
        drawn, counts = np.unique([second for first, second in named if first == row], return_counts=True)
        assert drawn.tolist() == [other for other in range(5) if other != row]
        assert np.abs(counts - counts.mean()).max() < 4.5 * np.sqrt(counts.mean())


def test_the_same_seed_gives_the_same_examples_and_another_gives_others() -> None:
    encoded = numbered([[4, 5, 6] * 30] * 4)
    assert made(encoded).ids.tolist() == made(encoded).ids.tolist()
    assert made(encoded).ids.tolist() != made(encoded, seed=1).ids.tolist()


def test_where_segments_begin_follows_from_the_document_s_key_alone() -> None:
    """What other documents there are changes the random segments, and nothing of how a document is cut."""
    lengths = [[4, 5, 6] * 30, [7] * 80]
    few, many = numbered(lengths), numbered([*lengths, [3] * 50])
    settings = {"sequence_length": 64, "short_probability": 0.0, "cls_id": CLS, "sep_id": SEP, "seed": 3}
    begins = [
        [segments(examples, at)[0][0] for at in range(len(examples)) if rows(examples, at)[0] == 0]
        for examples in (pairs(few, keys(few), **settings), pairs(many, keys(many), **settings))
    ]
    other = pairs(few, keys(few) + np.uint64(1), **settings)
    assert begins[0] == begins[1]
    assert begins[0] != [segments(other, at)[0][0] for at in range(len(other)) if rows(other, at)[0] == 0]


def test_draws_are_the_same_on_every_machine() -> None:
    """Change this only with the version of the stage."""
    examples = made(numbered([[4, 5, 6] * 2, [3, 9]]), limit=16, seed=20_260_101)
    assert [stretches(examples, at) for at in range(2)] == GOLDEN


GOLDEN = [
    [[2, 3, 4, 5, 6, 7, 8], [35, 36, 37, 38, 39, 40]],
    [[11, 12, 13, 14, 15, 16, 17, 18], [19, 20, 21, 22, 23]],
]


def test_a_sentence_longer_than_an_example_is_cut_into_several() -> None:
    examples = made(numbered([[100]]), limit=16, short=0)
    used = [token for at in range(len(examples)) for token in tokens(examples, at)]
    assert used == list(range(100))
    assert np.diff(examples.at).max() == 15  # room for a B that is not there


# Google's original code as oracle: what it made of a text (seed 12345) has to be a likely draw of ours.


def features(lengths: np.ndarray[Any, Any], firsts: np.ndarray[Any, Any], random: np.ndarray[Any, Any]) -> list[float]:
    """Count and shape of the examples of one run: number, share of random next, lengths and lengths of A."""
    edges = [0, 41, 81, 128, 129]
    lengths_histogram = np.histogram(lengths, edges)[0] / len(lengths)
    return [len(lengths), random.mean(), lengths.mean(), *lengths_histogram, firsts.mean(), firsts.std()]


def of_ours(encoded: Encoded, passes: int, short: float, seed: int) -> list[float]:
    runs = [
        pairs(
            encoded,
            keys(encoded),
            sequence_length=128,
            short_probability=short,
            cls_id=101,
            sep_id=102,
            seed=1000 * seed + run,
        )
        for run in range(passes)
    ]
    lengths = np.concatenate([np.diff(run.at) for run in runs])
    firsts = np.concatenate([run.second_at for run in runs])
    return features(lengths, firsts, np.concatenate([run.label for run in runs]) == Next.RANDOM)


def of_google(path: Path) -> list[float]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    lengths = np.array([len(row["tokens"]) for row in rows])
    firsts = np.array([row["segment_ids"].count(0) for row in rows])
    return features(lengths, firsts, np.array([row["is_random_next"] for row in rows]))


@pytest.fixture(scope="module")
def encode(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Encoded]:
    lines = (shared_data / "oracle/bert-base-uncased-vocab/vocab.txt").read_text(encoding="utf-8").splitlines()
    folder = tmp_path_factory.mktemp("tokenizer")
    save(wordpiece(lines, lowercase=True), folder)
    encoder = Gate(load(folder)).choose([]).encoder

    def encode_text(text: str) -> Encoded:
        sentences = [document.split("\n") for document in text.strip().split("\n\n")]
        return encode_documents(encoder, pa.array(sentences, pa.list_(pa.string())))

    return encode_text


@pytest.fixture
def uncapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The original drops what is too much of a long sentence; ours cuts it into several, which makes more examples."""
    monkeypatch.setattr(nsp, "capped", lambda encoded, tokens: encoded)


@pytest.mark.usefixtures("uncapped")
def test_alice_gives_the_distributions_of_the_original_code(
    shared_data: Path, encode: Callable[[str], Encoded]
) -> None:
    """Its 518 examples are two passes (each of ours makes 257), in which hardly a document drew a short target."""
    folder = shared_data / "oracle/create-pretraining-reference-A"
    text = gzip.decompress((folder / "alice11.sentences.txt.gz").read_bytes()).decode()
    encoded = encode(text)
    assert len(encoded.document_at) == 12 + 1
    draws = np.array([of_ours(encoded, passes=2, short=0.0, seed=seed) for seed in range(40)])
    assert_likely(np.array(of_google(folder / "alice11.jsonl.gz")), draws)


@pytest.mark.usefixtures("uncapped")
def test_the_sample_text_gives_the_distributions_of_the_original_code(
    shared_data: Path, encode: Callable[[str], Encoded]
) -> None:
    encoded = encode((shared_data / "oracle/bert-google/sample_text.txt").read_text(encoding="utf-8"))
    draws = np.array([of_ours(encoded, passes=10, short=0.1, seed=seed) for seed in range(60)])
    assert_likely(
        np.array(of_google(shared_data / "oracle/create-pretraining-reference-A/sample_text.jsonl.gz")), draws
    )


def assert_likely(seen: np.ndarray[Any, Any], draws: np.ndarray[Any, Any]) -> None:
    deviations = (seen - draws.mean(axis=0)) / (draws.std(axis=0) + 1e-3)
    assert np.abs(deviations).max() < 4, deviations.round(1)
