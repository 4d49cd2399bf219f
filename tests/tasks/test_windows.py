from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.tasks.rows import Passage, Question
from pipeline.tasks.task import Limits
from pipeline.tasks.windows import MOST_QUESTION_TOKENS, begins, encode_questions, tokens_of, trimmed

CONTEXT = "The Normans came from Normandy, in France. Where? In 911 the Vikings came."


def asked(context: str, first: int, end: int, question: str = "Who came?") -> Question:
    return Question("q", question, context, (Passage(context[first:end], first),))


def encoded(tokenizer: Any, row: Question, **limits: int) -> list[dict[str, Any]]:
    return list(encode_questions(tokenizer, [row], (), Limits(**{"sequence_length": 384, **limits})))


def test_a_short_context_is_one_window_behind_its_question(wordpiece: Any) -> None:
    first = CONTEXT.index("France")
    (window,) = encoded(wordpiece, asked(CONTEXT, first, first + 6))
    expected = wordpiece.encode("Who came?", CONTEXT)
    assert window["ids"] == expected.ids
    assert window["second_at"] == expected.type_ids.index(1)
    pairs = list(zip(window["offsets"][::2], window["offsets"][1::2], strict=True))
    inside = [at for at, sequence in enumerate(expected.sequence_ids) if sequence == 1]
    assert [at for at, pair in enumerate(pairs) if pair != (-1, -1)] == inside
    assert [pairs[at] for at in inside] == [expected.offsets[at] for at in inside]
    assert CONTEXT[pairs[window["start"]][0] : pairs[window["end"]][1]] == "France"


def test_windows_without_the_answer_point_to_the_first_token(wordpiece: Any) -> None:
    windows = encoded(wordpiece, asked(CONTEXT, 4, 11), sequence_length=16, window_stride=4, max_answer_tokens=2)
    pieces = [wordpiece.token_to_id(piece) for piece in ("norman", "##s")]
    for window in windows:
        ids, start, end = window["ids"], window["start"], window["end"]
        assert len(ids) <= 16
        whole = pieces[1] in ids and ids[ids.index(pieces[1]) - 1] == pieces[0]
        assert ids[start : end + 1] == (pieces if whole else [wordpiece.token_to_id("[CLS]")])
    assert len({window["start"] for window in windows}) > 1


def test_a_question_without_an_answer_has_none_in_any_window(wordpiece: Any) -> None:
    for answer in ((), None):
        row = Question("q", "Who?", CONTEXT, answer)
        assert {(window["start"], window["end"]) for window in encoded(wordpiece, row, sequence_length=20)} == {(0, 0)}


def test_a_long_question_is_cut_and_leaves_room_for_the_context(wordpiece: Any) -> None:
    row = asked(CONTEXT, 4, 11, "where " * 100)
    (window,) = encoded(wordpiece, row)
    assert window["second_at"] == MOST_QUESTION_TOKENS + 2
    assert all(window["second_at"] == 2 + 6 for window in encoded(wordpiece, row, sequence_length=16))


def test_questions_to_the_same_and_to_other_contexts_keep_their_rows(wordpiece: Any) -> None:
    rows = [asked(CONTEXT, 4, 11), asked("In France.", 3, 9), asked(CONTEXT, 0, 3), asked(" ", 0, 1)]
    windows = list(encode_questions(wordpiece, rows, (), Limits(sequence_length=24, max_answer_tokens=4)))
    assert [row for row in range(4) for window in windows if window["row"] == row] == [w["row"] for w in windows]
    assert {window["row"] for window in windows} == {0, 1, 2, 3}
    assert windows[-1]["ids"][-2:] == [wordpiece.token_to_id("[SEP]")] * 2  # nothing but a space: no token of a context


@settings(deadline=None)
@given(
    tokens=st.integers(0, 200),
    room=st.integers(1, 60),
    stride=st.integers(1, 90),
    longest=st.integers(1, 40),
    data=st.data(),
)
def test_windows_never_lose_an_answer_that_fits(
    tokens: int, room: int, stride: int, longest: int, data: st.DataObject
) -> None:
    windows = begins(tokens, room, Limits(0, stride, longest))
    assert windows[0] == 0
    assert windows[-1] + room >= tokens
    assert all(begin < tokens for begin in windows[1:])
    if tokens:
        length = data.draw(st.integers(1, min(longest, room, tokens)))
        first = data.draw(st.integers(0, tokens - length))
        assert any(begin <= first and first + length <= begin + room for begin in windows)


words = st.lists(
    st.sampled_from(["Norman", "smith-jones", "911", "été", "“the”", "France.", "\u200b", "x" * 9]),
    min_size=1,
    max_size=30,
)


@pytest.mark.parametrize("tokenizer", ["wordpiece", "byte_level"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=words, gap=st.sampled_from([" ", "  ", "\n", " \t"]), data=st.data())
def test_every_answer_is_read_back_from_the_tokens_of_some_window(
    request: pytest.FixtureRequest, tokenizer: str, words: list[str], gap: str, data: st.DataObject
) -> None:
    """From characters to tokens and back: what the model has to find is the answer, for any words of a context."""
    library = request.getfixturevalue(tokenizer)
    context = gap.join(words)
    begin = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(begin, min(begin + 2, len(words) - 1)))
    first = len(gap.join([*words[:begin], ""]))
    text = gap.join(words[begin : end + 1])
    row = Question("q", "Who?", context, (Passage(text, first),))
    tokens = library.encode(text, add_special_tokens=False).tokens
    windows = encoded(library, row, sequence_length=96, window_stride=9, max_answer_tokens=50)
    found = {
        context[window["offsets"][2 * window["start"]] : window["offsets"][2 * window["end"] + 1]]
        for window in windows
        if window["start"]
    }
    if tokens:
        assert {said.strip("\u200b \n\t") for said in found} == {text.strip("\u200b \n\t")}


def test_windows_that_cut_the_answer_do_not_hold_it(wordpiece: Any) -> None:
    """The room is of nine tokens and the answer of two, at the ninth and tenth."""
    context = "in " * 8 + "Normans in in in"
    windows = encoded(
        wordpiece, asked(context, 24, 31, "Who?"), sequence_length=14, window_stride=1, max_answer_tokens=2
    )
    assert [(window["start"], window["end"]) for window in windows[:2]] == [(0, 0), (11, 12)]


def test_pieces_that_begin_with_a_space_begin_behind_it() -> None:
    assert trimmed([(0, 3), (3, 11), (11, 12)], "The Normans ") == [(0, 3), (4, 11), (12, 12)]


def test_an_answer_in_the_middle_of_a_token_takes_the_whole_token() -> None:
    spans = [(0, 3), (4, 9), (10, 14)]
    assert tokens_of(Passage("orman", 5), spans) == (1, 1)
    assert tokens_of(Passage("mans c", 7), spans) == (1, 2)
    assert tokens_of(Passage(" ", 3), spans) is None
