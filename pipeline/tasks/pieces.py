"""Texts to token ids, many a call."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

TEXTS_PER_CALL = 1024


def encode_pairs(tokenizer: Any, pairs: Iterable[tuple[str, str]], sequence_length: int) -> Iterator[dict[str, Any]]:
    """Encode texts and pairs as [CLS] A [SEP] B [SEP]; of a pair that is too long the longer text is cut first.

    An empty second text makes a single one. `second_at` says where B begins, the length where there is none.
    """
    tokenizer.no_padding()
    tokenizer.enable_truncation(sequence_length, strategy="longest_first")
    left = iter(pairs)
    while some := list(islice(left, TEXTS_PER_CALL)):
        texts = [pair if pair[1] else pair[0] for pair in some]
        for (_, second), encoding in zip(some, tokenizer.encode_batch(texts), strict=True):
            second_at = encoding.type_ids.index(1) if second else len(encoding.ids)
            yield {"ids": encoding.ids, "second_at": second_at}
