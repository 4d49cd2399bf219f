from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.chunks import Chunks
from pipeline.text.counting import WORDS, add_up, count_documents, count_words, total, words_of
from pipeline.text.vocab import ALGORITHMS, splitter

ALL = pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
HOSTILE = st.text(
    alphabet=st.one_of(st.sampled_from(" '\t\n\x1c\u0301.aé▁Ġ\u00ad\u2028\ufffd👩"), st.characters(codec="utf-8")),
    max_size=30,
)
PRINTABLE = st.one_of(
    st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12),
    st.sampled_from(["[MASK]", "x[SEP]y", "[[CLS]]", "[PAD", "can't", "I'LL"]),
)


def counted(words: pa.Table, column: str = "count") -> dict[str, int]:
    pairs = zip(words["word"].to_pylist(), words[column].to_pylist(), strict=True)
    return {word: count for word, count in pairs if count}


@ALL
@settings(deadline=None)
@given(texts=st.lists(HOSTILE, max_size=4), lowercase=st.booleans())
def test_counting_chunks_counts_what_the_tokenizer_sees(algorithm: str, texts: list[str], lowercase: bool) -> None:
    split = splitter(algorithm, lowercase=lowercase)
    seen = Counter(word for text in texts for word in split(text))
    assert counted(count_words([*texts, *texts], split)) == {word: 2 * count for word, count in seen.items()}


@ALL
@settings(deadline=None)
@given(chunks=st.lists(PRINTABLE, min_size=1, max_size=8), lowercase=st.booleans())
def test_printable_ascii_is_cut_as_the_library_cuts_it(algorithm: str, chunks: list[str], lowercase: bool) -> None:
    split = splitter(algorithm, lowercase=lowercase)
    assert split.plain_text(" ".join(chunks)) == split(" ".join(chunks))


@ALL
def test_printable_ascii_is_cut_as_the_library_cuts_it_for_every_pair_of_characters(algorithm: str) -> None:
    split = splitter(algorithm, lowercase=True)
    characters = [chr(at) for at in range(0x21, 0x7F)]
    text = " ".join(f"{one}{other}s" for one in characters for other in characters)
    assert split.plain_text(text) == split(text)


@given(st.lists(HOSTILE, max_size=5))
def test_chunks_joined_by_spaces_are_the_text(texts: list[str]) -> None:
    chunks = Chunks()
    numbers, per = chunks.number(texts)
    again, _ = chunks.number(texts)
    distinct = chunks.since(0).to_pylist()
    assert len(set(distinct)) == len(distinct)
    assert again.tolist() == numbers.tolist()
    ends = np.cumsum(per)
    found = [" ".join(distinct[at] for at in numbers[end - count : end]) for end, count in zip(ends, per, strict=True)]
    assert found == texts


def test_a_space_beside_something_invisible_is_no_border() -> None:
    chunks = Chunks()
    chunks.number(["one two", " three", "four  five", "six \u0301seven", "eight\u200b nine", "ten 👩 ▁", "a\tb — c"])
    assert chunks.since(0).to_pylist() == [
        *("one", "two", " three", "four  five", "six \u0301seven", "eight\u200b nine", "ten 👩 ▁", "a\tb", "—", "c")
    ]


def test_chunks_are_found_again_however_many_there_are() -> None:
    texts = [f"{number:x} {number * 7919:x}" for number in range(50_000)]
    chunks = Chunks()
    numbers, _ = chunks.number(texts)
    distinct = chunks.since(0).to_pylist()
    assert len(set(distinct)) == len(distinct) > 50_000
    assert [distinct[at] for at in numbers] == " ".join(texts).split(" ")


def test_slices_and_large_strings_are_read_where_they_lie() -> None:
    texts = ["skipped", "one two", "", "three"]
    for kind in (pa.string(), pa.large_string()):
        chunks = Chunks()
        numbers, per = chunks.number(pa.array(texts, kind)[1:])
        assert (numbers.tolist(), per.tolist()) == ([0, 1, 2], [2, 0, 1])
        assert chunks.since(0).to_pylist() == ["one", "two", "three"]


def test_held_out_documents_are_counted_apart() -> None:
    documents = pa.array([["a b", "a"], ["b c"], []], pa.list_(pa.string()))
    words = count_documents([(documents, np.array([False, True, False]))], splitter("wordpiece", lowercase=True))
    assert words.schema == WORDS
    assert counted(words) == {"a": 2, "b": 1}
    assert counted(words, "held_out") == {"b": 1, "c": 1}
    assert total(words) == 5


def test_counts_of_shards_add_up_beyond_32_bits() -> None:
    words = add_up([words_of({"b": 1, "a": 1 << 40}), words_of({"a": 1}), words_of({})])
    assert words.equals(words_of({"a": (1 << 40) + 1, "b": 1}))


def test_a_saved_count_is_the_same_however_documents_are_dealt(shared_data: Path) -> None:
    lines = (shared_data / "oracle/bert-google/sample_text.txt").read_text(encoding="utf-8").splitlines()
    split = splitter("wordpiece", lowercase=True)
    whole = count_words(lines, split)
    assert whole.num_rows > 200
    for shards in (2, 5):
        assert add_up([count_words(lines[at::shards], split) for at in range(shards)]).equals(whole)
