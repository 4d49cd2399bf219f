import pyarrow as pa
import pytest

from pipeline.text.counting import WORDS, words_of
from pipeline.text.vocab import SPECIALS, wordpiece
from pipeline.text.vocab.measure import measure

TOKENIZER = wordpiece([*SPECIALS, "the", "hare", "##s"], lowercase=True)


def test_held_out_words_are_measured() -> None:
    columns = [["hares", "the", "wolf"], [9, 9, 9], [2, 6, 2]]
    words = pa.table([pa.array(column, field.type) for column, field in zip(columns, WORDS, strict=True)], schema=WORDS)
    assert measure(TOKENIZER, words) == {
        "measured_on": "held-out documents",
        "measured_words": 10,
        "fertility": pytest.approx(1.2),  # hare ##s twice, the six times, [UNK] twice
        "unknown_rate": pytest.approx(0.2),
        "coverage": pytest.approx(0.6),
    }


def test_where_nothing_is_held_out_all_words_are_measured() -> None:
    found = measure(TOKENIZER, words_of({"the": 3, "hares": 1}))
    assert (found["measured_on"], found["measured_words"], found["fertility"]) == ("all documents", 4, 1.25)
    assert measure(TOKENIZER, words_of({}))["fertility"] == 0
