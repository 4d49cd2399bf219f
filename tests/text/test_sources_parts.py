from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.sources import Document, Skipped
from pipeline.text.sources.parts import PART_BYTES, in_parts, pieces

SMALL = 50
PARAGRAPHS = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.text(alphabet="ab é\u20ac😀", max_size=300),
        st.lists(st.text("xy", max_size=9), max_size=40).map(" ".join),
        st.just("half \ud800 a pair " * 9),
    ),
    max_size=12,
)


def document(*paragraphs: str) -> Document:
    return Document("books", "Ulysses", "https://example.org/", list(paragraphs), {"tables": 2})


def size(part: Document | Skipped) -> int:
    assert isinstance(part, Document)
    return sum(len(paragraph.encode("utf-8", "surrogatepass")) for paragraph in part.paragraphs)


def test_documents_of_common_length_and_notes_are_handed_on_as_they_are() -> None:
    found: list[Document | Skipped] = [
        document("One.", "Two."),
        Skipped("line 1", "not UTF-8"),
        document(),
        document("word " * 1_000_000),
    ]
    assert list(in_parts(found)) == found


def test_a_long_document_comes_in_parts_that_end_between_paragraphs() -> None:
    paragraphs = [f"{n} " + "word " * 100_000 for n in range(40)]
    parts = list(in_parts([document(*paragraphs)]))
    assert len(parts) == 3
    assert all(PART_BYTES / 2 < size(part) <= PART_BYTES for part in parts[:-1])
    assert [text for part in parts if isinstance(part, Document) for text in part.paragraphs] == paragraphs
    assert {(part.source, part.title, part.url) for part in parts if isinstance(part, Document)} == {
        ("books", "Ulysses", "https://example.org/")
    }


def test_what_was_left_out_is_told_once() -> None:
    parts = in_parts([document("é" * 5_000_000, "é" * 5_000_000)])
    assert [part.left_out for part in parts if isinstance(part, Document)] == [{"tables": 2}, {}, {}, {}]


def test_characters_of_many_bytes_count_as_many() -> None:
    assert len(list(in_parts([document("a" * 3_000_000, "b" * 3_000_000)]))) == 1
    assert len(list(in_parts([document("é" * 3_000_000, "é" * 3_000_000)]))) == 2


def test_parts_are_made_while_documents_are_read() -> None:
    read = []

    def books() -> Iterator[Document]:
        for n in range(3):
            read.append(n)
            yield document("word " * 2_000_000)

    next(in_parts(books()))
    assert read == [0]


@settings(deadline=None)
@given(PARAGRAPHS)
def test_parts_are_short_and_nothing_is_lost(paragraphs: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.text.sources.parts.PART_BYTES", SMALL)
        parts = list(in_parts([document(*paragraphs)]))
    assert all(size(part) <= SMALL for part in parts)
    assert "".join(text for part in parts if isinstance(part, Document) for text in part.paragraphs) == "".join(
        paragraphs
    )
    whole = [text for text in paragraphs if len(text.encode("utf-8", "surrogatepass")) <= SMALL]
    kept = [text for part in parts if isinstance(part, Document) for text in part.paragraphs]
    assert [text for text in kept if text in whole or not text] == [text for text in kept if text in whole]
    assert all(text in kept for text in whole)


@settings(deadline=None)
@given(st.lists(st.text("abc", min_size=1, max_size=20), min_size=1), st.integers(21, 60))
def test_a_paragraph_is_broken_after_a_space_if_it_has_one(words: list[str], most: int) -> None:
    text = " ".join(words).encode()
    found = list(pieces(text, most))
    assert b"".join(found) == text
    assert all(piece.endswith(b" ") for piece in found[:-1])


@settings(deadline=None)
@given(st.text(alphabet="é\u20ac😀a\u3000", max_size=60), st.integers(4, 30))
def test_a_text_without_spaces_is_broken_between_characters(text: str, most: int) -> None:
    found = list(pieces(text.encode(), most))
    assert "".join(piece.decode() for piece in found) == text
    assert all(len(piece) <= most for piece in found)
