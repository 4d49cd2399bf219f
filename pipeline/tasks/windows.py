"""Questions about contexts as sequences: [CLS] question [SEP] a window of the context [SEP]; windows of one context overlap.

Source: Devlin et al. 2019, section 4.2, and their run_squad.py. There the overlap is what the stride leaves of a window; here
it is never shorter than the longest answer that is looked for, so that each of them lies whole in some window.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.tasks.pieces import TEXTS_PER_CALL
from pipeline.tasks.rows import Passage, Question
from pipeline.tasks.task import Limits

MOST_QUESTION_TOKENS = 64
"""Longer questions are cut, as in run_squad.py."""
AROUND = 3
"""[CLS], and [SEP] behind the question and the window."""
OUTSIDE = -1
"""The offset of a token that is none of the context."""

Spans = list[tuple[int, int]]
"""(first, end) characters of each token."""


@dataclass(frozen=True)
class _Context:
    ids: list[int]
    spans: Spans


def encode_questions(
    tokenizer: Any, rows: Sequence[Question], labels: tuple[str, ...], limits: Limits
) -> Iterator[dict[str, Any]]:
    """Encode each question with each window of its context; the first answer is the one to find."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for at in range(0, len(rows), TEXTS_PER_CALL):
        some = rows[at : at + TEXTS_PER_CALL]
        contexts = list(dict.fromkeys(row.context for row in some))
        known = {
            text: _Context(encoding.ids, trimmed(encoding.offsets, text))
            for text, encoding in zip(contexts, _encoded(tokenizer, contexts), strict=True)
        }
        questions = _encoded(tokenizer, [row.question.strip() for row in some])
        for number, (row, question) in enumerate(zip(some, questions, strict=True), start=at):
            for window in _windows(tokenizer, row, question.ids, known[row.context], limits):
                yield {**window, "row": number}


def begins(tokens: int, room: int, limits: Limits) -> range:
    """Say at which tokens of a context its windows of `room` tokens begin.

    Any run of at most `max_answer_tokens` tokens that a window can hold lies whole in one of them.
    """
    step = max(1, min(limits.window_stride, room - min(limits.max_answer_tokens, room) + 1))
    last = max(0, -(-(tokens - room) // step))
    return range(0, last * step + 1, step)


def tokens_of(answer: Passage, spans: Spans) -> tuple[int, int] | None:
    """Find the first and the last token that an answer stands in; None if it stands in none."""
    end = answer.first + len(answer.text)
    held = [at for at, (first, beyond) in enumerate(spans) if first < end and beyond > answer.first]
    return (held[0], held[-1]) if held else None


def _encoded(tokenizer: Any, texts: Sequence[str]) -> Any:
    return tokenizer.encode_batch(texts, add_special_tokens=False)


def _windows(
    tokenizer: Any, row: Question, question: list[int], context: _Context, limits: Limits
) -> Iterator[dict[str, Any]]:
    around = limits.sequence_length - AROUND
    question = question[: min(MOST_QUESTION_TOKENS, around // 2)]
    room = around - len(question)
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    spans = context.spans
    answer = tokens_of(row.answer[0], spans) if row.answer else None
    before = len(question) + 2
    for begin in begins(len(spans), room, limits):
        end = min(begin + room, len(spans))
        start, last = (before + at - begin for at in answer) if answer and _within(answer, begin, end) else (0, 0)
        outside = [OUTSIDE, OUTSIDE]
        yield {
            "ids": [cls, *question, sep, *context.ids[begin:end], sep],
            "second_at": before,
            "start": start,
            "end": last,
            "offsets": outside * before + [at for span in spans[begin:end] for at in span] + outside,
        }


def trimmed(offsets: Spans, context: str) -> Spans:
    """Leave out the space that pieces of some tokenizers begin with."""
    return [(first + _spaces(context[first:end]), end) for first, end in offsets]


def _spaces(piece: str) -> int:
    return len(piece) - len(piece.lstrip()) if piece[:1].isspace() else 0


def _within(answer: tuple[int, int], begin: int, end: int) -> bool:
    return begin <= answer[0] and answer[1] < end
