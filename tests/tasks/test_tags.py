from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.tables import encoded_schema, predicted_schema
from pipeline.tasks import TASKS, kinds
from pipeline.tasks.rows import Sentence
from pipeline.tasks.task import Limits, Outcome, Report

CONLL = TASKS["conll"]
LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def encoded(tokenizer: Any, rows: Sequence[Sentence], sequence_length: int = 32) -> list[dict[str, Any]]:
    return list(kinds.encode(CONLL, tokenizer, rows, LABELS, Limits(sequence_length)))


def report(
    tokenizer: Any, rows: Sequence[Sentence], said: Sequence[Sequence[str]], sequence_length: int = 32
) -> Report:
    """Make a model that gives these tags: at pieces that begin no word it says nonsense."""
    table = pa.Table.from_pylist(encoded(tokenizer, rows, sequence_length), encoded_schema("tag", 100))
    left = [iter(tags) for tags in said]
    predicted = [
        [LABELS.index(next(left[one["row"]])) if label != -1 else 1 for label in one["labels"]]
        for one in table.to_pylist()
    ]
    outcome = Outcome(rows, table, pa.table({"predicted": predicted}, predicted_schema("tag")), LABELS, Limits(32))
    return kinds.report(CONLL, outcome)


def test_the_first_piece_of_each_word_carries_the_tag(wordpiece: Any) -> None:
    (one,) = encoded(wordpiece, [Sentence(("Norman", "Smiths", "came", "..."), ("B-PER", "I-PER", "O", "O"))])
    tokens = [wordpiece.id_to_token(at) for at in one["ids"]]
    assert list(zip(tokens, one["labels"], strict=True)) == [
        ("[CLS]", -1),
        ("norman", 3),
        ("smith", 4),
        ("##s", -1),
        ("came", 0),
        (".", 0),
        (".", -1),
        (".", -1),
        ("[SEP]", -1),
    ]
    assert one["second_at"] == len(one["ids"])


def test_a_word_without_pieces_is_unknown_and_keeps_its_tag(wordpiece: Any) -> None:
    (one,) = encoded(wordpiece, [Sentence(("came", "", "\u200b", "in"), ("O", "B-LOC", "I-LOC", "O"))])
    assert [wordpiece.id_to_token(at) for at in one["ids"]] == ["[CLS]", "came", "[UNK]", "[UNK]", "in", "[SEP]"]
    assert one["labels"] == [-1, 0, 1, 2, 0, -1]


words = st.lists(
    st.sampled_from(["Norman", "smiths", "911", "", "été-", "x" * 40, "\U0001f642", "in"]), min_size=1, max_size=40
)


@pytest.mark.parametrize("tokenizer", ["wordpiece", "byte_level"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=words, sequence_length=st.integers(8, 40))
def test_no_word_is_lost_however_long_the_sentence(
    request: pytest.FixtureRequest, tokenizer: str, words: list[str], sequence_length: int
) -> None:
    library = request.getfixturevalue(tokenizer)
    tags = tuple(LABELS[at % len(LABELS)] for at in range(len(words)))
    rows = [Sentence(tuple(words), tags), Sentence(("in",), ("O",))]
    sequences = encoded(library, rows, sequence_length)
    assert all(len(one["ids"]) == len(one["labels"]) <= sequence_length for one in sequences)
    labels = [label for one in sequences if one["row"] == 0 for label in one["labels"] if label != -1]
    assert [LABELS[at] for at in labels] == list(tags)
    said = [list(tags), ["O"]]
    assert report(library, rows, said, sequence_length).table["predicted"].to_pylist() == said


def test_a_report_counts_entities_and_lists_the_worst_sentences(wordpiece: Any) -> None:
    rows = [
        Sentence(("Norman", "Smith", "came"), ("B-PER", "I-PER", "O"), 1),
        Sentence(("In", "France"), ("O", "B-LOC"), 5),
        Sentence(("In", "Paris"), ("O", "B-LOC"), 8),
    ]
    found = report(wordpiece, rows, [["B-PER", "O", "B-LOC"], ["O", "B-LOC"], ["O", "B-PER"]])
    assert found.scores == pytest.approx(
        {"f1": 2 * 0.25 * (1 / 3) / (0.25 + 1 / 3), "precision": 1 / 4, "recall": 1 / 3, "accuracy": 4 / 7}
    )
    assert found.mistakes["line"].to_pylist() == [1, 8]
    assert found.mistakes["wrong"].to_pylist() == [2, 1]
    assert found.picture is not None
    assert found.picture.down == ("O", "LOC", "PER")
    assert found.picture.values == ((2, 1, 0), (0, 1, 1), (1, 0, 1))
