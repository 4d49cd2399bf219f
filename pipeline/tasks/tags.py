"""Words and their tags: the first piece of each word carries the tag, as in Devlin et al. 2019, section 5.3.

Letters: N words.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.tasks.judged import arrays, confusion, mistakes_of
from pipeline.tasks.metrics import ENTITY_METRICS
from pipeline.tasks.pieces import TEXTS_PER_CALL
from pipeline.tasks.rows import Sentence
from pipeline.tasks.task import UNKNOWN, Limits, Outcome, Report

Word = tuple[list[int], int]
"""(ids of a word's pieces, index of its tag)"""


def encode_sentences(
    tokenizer: Any, rows: Sequence[Sentence], labels: tuple[str, ...], limits: Limits
) -> Iterator[dict[str, Any]]:
    """Encode sentences; one that is too long is cut between words into several sequences, so that no word is lost."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    known = {name: at for at, name in enumerate(labels)}
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    for at in range(0, len(rows), TEXTS_PER_CALL):
        some = rows[at : at + TEXTS_PER_CALL]
        texts = [list(row.words) for row in some]
        encodings = tokenizer.encode_batch(texts, is_pretokenized=True, add_special_tokens=False)
        for number, (row, encoding) in enumerate(zip(some, encodings, strict=True), start=at):
            pieces = _by_word(encoding, len(row.words), tokenizer.token_to_id("[UNK]"))
            words = [(ids, known[tag]) for ids, tag in zip(pieces, row.answer, strict=True)]
            for cut in _cut(words, limits.sequence_length - 2):
                yield {**_sequence(cut, cls, sep), "row": number}


def report_tags(outcome: Outcome, metrics: tuple[str, ...]) -> Report:
    """Score entities; the mistakes are the sentences with the most wrong words, as tags come without probabilities."""
    rows: Sequence[Sentence] = outcome.rows
    expected, predicted = [list(row.answer) for row in rows], list(_predicted(outcome))
    wrong = [sum(map(str.__ne__, *both)) for both in zip(expected, predicted, strict=True)]
    table = pa.table(
        {
            "line": [row.line for row in rows],
            "words": [list(row.words) for row in rows],
            "label": expected,
            "predicted": predicted,
            "wrong": wrong,
        }
    )
    scores = {name: ENTITY_METRICS[name](expected, predicted) for name in metrics}
    types = sorted({_type(name) for name in outcome.labels}, key=lambda name: (name != "O", name))
    at = {name: types.index(_type(name)) for name in outcome.labels}
    true_N, said_N = (np.array([at[tag] for tags in side for tag in tags], np.int64) for side in (expected, predicted))
    picture = confusion("words", "type of entity", true_N, said_N, types)
    return Report(scores, table, mistakes_of(table, np.array(wrong) > 0, np.array(wrong)), picture)


def _by_word(encoding: Any, words: int, unknown: int) -> list[list[int]]:
    """Give the pieces of each word; [UNK] for one of which the tokenizer leaves nothing, as there is a tag to predict."""
    pieces: list[list[int]] = [[] for _ in range(words)]
    for word, token in zip(encoding.word_ids, encoding.ids, strict=True):
        pieces[word].append(token)
    return [ids or [unknown] for ids in pieces]


def _cut(words: Sequence[Word], room: int) -> Iterator[list[Word]]:
    """Deal words to sequences of at most `room` tokens; of a word that is longer the first pieces stay."""
    cut: list[Word] = []
    used = 0
    for ids, tag in words:
        kept = ids[:room]
        if used + len(kept) > room:
            yield cut
            cut, used = [], 0
        cut.append((kept, tag))
        used += len(kept)
    if cut:
        yield cut


def _sequence(words: Sequence[Word], cls: int, sep: int) -> dict[str, Any]:
    ids, labels = [cls], [UNKNOWN]
    for pieces, tag in words:
        ids += pieces
        labels += [tag] + [UNKNOWN] * (len(pieces) - 1)
    return {"ids": [*ids, sep], "second_at": len(ids) + 1, "labels": [*labels, UNKNOWN]}


def _predicted(outcome: Outcome) -> Iterator[list[str]]:
    """Give the predicted tag of each word, the sequences of a sentence joined."""
    columns = (
        outcome.encoded["row"].to_pylist(),
        arrays(outcome.encoded["labels"]),
        arrays(outcome.predicted["predicted"]),
    )
    for _, group in groupby(zip(*columns, strict=True), key=lambda sequence: sequence[0]):
        yield [outcome.labels[at] for _, labels, said in group for at in said[labels != UNKNOWN].tolist()]


def _type(tag: str) -> str:
    return tag.partition("-")[2] or tag
