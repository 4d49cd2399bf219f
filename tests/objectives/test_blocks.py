import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.objectives.blocks import Block, Regrouping, join
from tests.objectives.conftest import documents, keys, numbered

EMPTY = Block(numbered([]), keys(numbered([])), np.zeros(0, np.int64))


def block(lengths: list[list[int]], first: int = 0) -> Block:
    encoded = numbered(lengths)
    return Block(encoded, keys(encoded) + np.uint64(first), np.arange(first, first + len(lengths)))


def read(block: Block) -> list[tuple[int, int, list[list[int]]]]:
    """List key, row and sentences of each document."""
    ids, at, borders = block.encoded.ids_N, block.encoded.sentence_at, block.encoded.document_at
    return [
        (int(key), int(row), [ids[at[s] : at[s + 1]].tolist() for s in range(borders[d], borders[d + 1])])
        for d, (key, row) in enumerate(zip(block.key_D, block.row_D, strict=True))
    ]


@given(documents, st.data())
def test_keeping_some_documents_keeps_them_whole(lengths: list[list[int]], data: st.DataObject) -> None:
    whole = block(lengths)
    wanted = np.array(data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths))), np.bool_)
    kept = whole.only(wanted)
    assert read(kept) == [document for document, flag in zip(read(whole), wanted, strict=True) if flag]
    assert kept.encoded.sentence_at[-1] == len(kept.encoded.ids_N)


@given(st.lists(documents, min_size=1, max_size=4))
def test_joined_blocks_hold_the_documents_of_all(parts: list[list[list[int]]]) -> None:
    blocks = [block(lengths, 100 * at) for at, lengths in enumerate(parts)]
    assert read(join(blocks)) == [document for part in blocks for document in read(part)]


@given(st.lists(documents, max_size=12), st.integers(1, 60))
def test_regrouping_loses_nothing_and_leaves_no_small_rest(parts: list[list[list[int]]], tokens: int) -> None:
    grouping = Regrouping(tokens)
    blocks = [block(lengths, 100 * at) for at, lengths in enumerate(parts)]
    whole = [ready for part in blocks for ready in grouping.add(part)] + grouping.rest()
    assert [document for part in whole for document in read(part)] == [
        document for part in blocks for document in read(part)
    ]
    assert all(part.tokens >= tokens and part.documents >= 2 for part in whole[:-1])
    if len(whole) > 1:
        assert whole[-1].tokens >= tokens // 4
        assert whole[-1].documents >= 2


def test_a_block_waits_for_no_more_than_a_quarter_of_the_next() -> None:
    grouping = Regrouping(40)
    ready = [len(grouping.add(block([[5], [5]], 2 * at))) for at in range(8)]
    assert ready == [0, 0, 0, 0, 1, 0, 0, 0]
    assert [part.tokens for part in grouping.rest()] == [40]


def test_nothing_waits_where_nothing_was_added() -> None:
    assert Regrouping(9).rest() == []
