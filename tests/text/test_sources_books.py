import gzip
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped, Span, books, layout

STORY = "It was the best of times,\nit was the worst of times.\n\nThe last — “far better”."
PROSE = ["It was the best of times, it was the worst of times.", "The last — “far better”."]

NEW_FRAME = """The Project Gutenberg EBook of A Tale, by Someone

This eBook is for the use of anyone anywhere at no cost.

Title: A Tale
       of Two Lines

Author: Someone

Release Date: January, 1994 [EBook #98]

Character set encoding: {encoding}

*** START OF {this} PROJECT GUTENBERG EBOOK A TALE ***

Produced by Judith Boss. HTML version by Al Haines.

{story}

End of the Project Gutenberg EBook of A Tale, by Someone

*** END OF {this} PROJECT GUTENBERG EBOOK A TALE ***

***** This file should be named 98.txt *****
"""

OLD_FRAME = """***The Project Gutenberg Etext of A Tale, by Someone***
#3 in our series by Someone

Copyright laws are changing all over the world, be sure to check them.

A Tale

by Someone

January, 1994  [Etext #98]

**Welcome To The World of Free Plain Vanilla Electronic Texts**

***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***
Why is this "Small Print!" statement here?  You know: lawyers.

*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*

Scanned by somebody with OmniPage.

{story}

End of The Project Gutenberg Etext of A Tale
"""

LICENCE_BEHIND = """The Project Gutenberg EBook of A Tale, by Someone

*** START OF THE PROJECT GUTENBERG EBOOK, A TALE
WITH A TITLE OF TWO LINES ***

{story}

***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN EBOOKS**START***
You know: lawyers.
*END THE SMALL PRINT! FOR PUBLIC DOMAIN EBOOKS*Ver.02/11/02*END*
"""


def read(file: Path) -> Document | Skipped:
    (document,) = SOURCES["books"].read(file, Span(0, file.stat().st_size), Reading("novels"))
    return document


def book(file: Path, text: str | bytes, encoding: str = "utf-8") -> Document:
    file.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    document = read(file)
    assert isinstance(document, Document)
    return document


def test_hard_line_breaks_are_joined_and_blank_lines_end_paragraphs(tmp_path: Path) -> None:
    assert book(tmp_path / "A_Tale.txt", STORY) == Document("novels", "A Tale", "", PROSE)


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends_of_every_system_are_read(tmp_path: Path, end: str) -> None:
    assert book(tmp_path / "a.txt", STORY.replace("\n", end)).paragraphs == PROSE


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-32"])
def test_an_undeclared_encoding_is_recognised(tmp_path: Path, encoding: str) -> None:
    assert book(tmp_path / "a.txt", STORY * 20, encoding).paragraphs[-1] == PROSE[-1]


def test_latin_1_and_a_cyrillic_book_are_told_apart_without_a_header(tmp_path: Path) -> None:
    french = "Où est passé l'été? Le garçon déjà fatigué rêvait à la forêt.\n\n"
    russian = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\n\n"
    assert book(tmp_path / "fr.txt", french * 20, "latin-1").paragraphs[0] == french.strip()
    assert book(tmp_path / "ru.txt", russian * 20, "cp1251").paragraphs[0] == russian.strip()


@pytest.mark.parametrize(
    ("declared", "encoding", "word"),
    [
        ("ISO-8859-1", "latin-1", "déjà"),
        ("ISO-8859-1", "cp1252", "“déjà”"),
        ("ISO-8859-2", "iso-8859-2", "żółw"),
        ("nonsense", "cp1252", "déjà"),
    ],
)
def test_the_encoding_that_the_header_declares_is_used(tmp_path: Path, declared: str, encoding: str, word: str) -> None:
    text = NEW_FRAME.format(encoding=declared, this="THIS", story=f"{word} vu.")
    assert book(tmp_path / "a.txt", text, encoding).paragraphs == [f"{word} vu."]


def test_utf8_is_believed_against_the_header(tmp_path: Path) -> None:
    text = NEW_FRAME.format(encoding="ISO-8859-1", this="THIS", story=STORY)
    assert book(tmp_path / "a.txt", text).paragraphs == PROSE


def test_a_byte_that_cp1252_does_not_know_leaves_latin_1(tmp_path: Path) -> None:
    text = NEW_FRAME.format(encoding="ISO-8859-1", this="THIS", story="déjà\x81 vu.")
    assert book(tmp_path / "a.txt", text, "latin-1").paragraphs == ["déjà\x81 vu."]


@pytest.mark.parametrize("data", [bytes(range(256)) * 50, b"PK\x03\x04\x00\x00" * 100])
def test_a_file_that_is_no_text_is_skipped(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    skipped = read(tmp_path / "a.txt")
    assert isinstance(skipped, Skipped)
    assert skipped.where == "file 'a.txt'"
    assert skipped.reason.startswith("not text in UTF-8, UTF-16, cp1252 or any encoding")


@pytest.mark.parametrize("this", ["THIS", "THE"])
def test_the_frame_of_a_gutenberg_book_is_taken_off(tmp_path: Path, this: str) -> None:
    text = NEW_FRAME.format(encoding="UTF-8", this=this, story=STORY)
    assert book(tmp_path / "98-0.txt", text) == Document(
        "novels", "A Tale of Two Lines", "https://www.gutenberg.org/ebooks/98", PROSE, {"boilerplate": 3}
    )


def test_the_old_frame_with_the_small_print_in_front_is_taken_off(tmp_path: Path) -> None:
    text = OLD_FRAME.format(story=STORY)
    assert book(tmp_path / "tale10.txt", text) == Document(
        "novels", "A Tale", "https://www.gutenberg.org/ebooks/98", PROSE, {"boilerplate": 3}
    )


def test_a_licence_behind_the_book_is_taken_off(tmp_path: Path) -> None:
    document = book(tmp_path / "tale10.txt", LICENCE_BEHIND.format(story=STORY))
    assert (document.title, document.paragraphs) == ("A Tale", PROSE)


def test_a_book_about_gutenberg_is_left_alone(tmp_path: Path) -> None:
    text = "Produced by hand, the Bible of Gutenberg took years.\n\nSmall print was his next idea."
    assert book(tmp_path / "a.txt", text).paragraphs == text.split("\n\n")


def test_emphasis_pictures_and_hyphens_at_line_ends_are_mended(tmp_path: Path) -> None:
    text = "It was _very_ half-\nhearted, _he\nsaid_.\n\n[Illustration: a\nship]\n\nsnake_case and __init__ stay_"
    assert book(tmp_path / "a.txt", text).paragraphs == [
        "It was very half-hearted, he said.",
        "snake_case and __init__ stay_",
    ]


def test_a_book_with_a_paragraph_a_line_needs_no_blank_lines(tmp_path: Path) -> None:
    lines = [f"Paragraph {n} is long. " * 12 for n in range(3)] + ["Short."]
    assert book(tmp_path / "a.txt", "\n".join(lines)).paragraphs == [line.strip() for line in lines]


def test_a_compressed_book_is_read_and_a_cut_one_is_an_error(tmp_path: Path) -> None:
    data = gzip.compress(STORY.encode())
    assert book(tmp_path / "A_Tale.txt.gz", data) == Document("novels", "A Tale", "", PROSE)
    (tmp_path / "cut.txt.gz").write_bytes(data[:-9])
    with pytest.raises(DataError, match=r"cut\.txt\.gz: cut at byte"):
        read(tmp_path / "cut.txt.gz")


def test_what_is_kept_of_a_cut_book_is_its_clean_beginning(tmp_path: Path) -> None:
    text = "".join(f"Sentence {n} of {n * n}.\n\n" for n in range(9000)) + "ß"
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(text.encode())[:-2000])
    document, note = SOURCES["books"].read(tmp_path / "cut.txt.gz", Span(0, 0), Reading("novels", truncated="keep"))
    assert isinstance(document, Document)
    assert isinstance(note, Skipped)
    kept = len(document.paragraphs)
    assert kept > 1000
    assert document.paragraphs[:-1] == text.split("\n\n")[: kept - 1]


WRAPPED = """It was a dark night, and the rain fell in torrents, except at times,
when it was checked by a gust of wind which swept up the streets
of London.
"Who is there?" he said.
"It is I, Mr.
Pip," said she, and struggled to light her lamp against the darkness.
  A new one began here, rattling along the housetops, which had seen
much."""


def test_in_books_without_blank_lines_a_short_line_that_ends_a_sentence_ends_a_paragraph(tmp_path: Path) -> None:
    assert book(tmp_path / "a.txt", WRAPPED).paragraphs == [
        "It was a dark night, and the rain fell in torrents, except at times, when it was checked by a gust of wind which "
        "swept up the streets of London.",
        '"Who is there?" he said.',
        '"It is I, Mr. Pip," said she, and struggled to light her lamp against the darkness.',
        "A new one began here, rattling along the housetops, which had seen much.",
    ]


PAGES = """A TALE OF PAGES

CONTENTS

I. The Beginning .... 1
II. The Middle; or, What
Comes Between ....... 7

CHAPTER I. The Beginning

In Which Nothing Happens

It was late in the year, and the mails

[Pg 12]

A TALE OF PAGES                12

were late,[1] too.{13} He read
   *       *       *       *       *
on.

 * * * * *

"NEVER!"

[Illustration: A mail [coach]
of 1775]

CHAPTER THE SECOND
Nobody knew.[Footnote 2: Not true.]

[Footnote 1: As we shall see.]

XIV

The Middle

- 15 -

So it was.

THE END
"""


def test_nothing_of_the_printed_page_is_glued_to_the_prose(tmp_path: Path) -> None:
    document = book(tmp_path / "a.txt", PAGES)
    assert document.paragraphs == [
        "It was late in the year, and the mails were late, too. He read    *       *       *       *       * on.",
        '"NEVER!"',
        "Nobody knew.",
        "As we shall see.",
        "So it was.",
    ]
    assert document.left_out == {
        "headings": 7, "contents": 3, "page numbers": 2, "rulers": 1, "marks": 2, "notes": 1, "illustrations": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "Part of it was true.",
        "Chapter and verse, he gave them all of it.",
        "Book me a room.",
        "ALL OF IT IS LOST STOP COME AT ONCE WITH EVERYTHING THAT YOU HAVE AND MORE IF YOU CAN STOP LATE IS NEVER.",
        '"HELP"',
        "Contents under pressure were found in it.",
        "I",
        "1801.--I have just returned from a visit to my landlord.",
    ][:6],
)
def test_sentences_that_look_like_headings_stay(tmp_path: Path, text: str) -> None:
    assert book(tmp_path / "a.txt", f"It began so.\n\n{text}\n\nIt ended so.").paragraphs[1] == text


def test_a_thousand_books_in_one_file_are_a_thousand_documents(tmp_path: Path) -> None:
    frames = [
        NEW_FRAME.format(encoding="UTF-8", this="THIS", story=STORY),
        OLD_FRAME.format(story=STORY),
        LICENCE_BEHIND.format(story=STORY),
    ]
    file = tmp_path / "all.txt"
    file.write_text("\n\n\n".join(frames * 3))
    documents = list(SOURCES["books"].read(file, Span(0, 0), Reading("novels")))
    assert [(d.title, d.paragraphs) for d in documents if isinstance(d, Document)] == [
        (title, PROSE) for title in ("A Tale of Two Lines", "A Tale", "A Tale") * 3
    ]


def test_text_that_follows_a_licence_is_not_lost(tmp_path: Path) -> None:
    after = "This book came without a header. " * 3000
    file = tmp_path / "all.txt"
    file.write_text(f"{OLD_FRAME.format(story=STORY)}\n\n{after}\n")
    first, second = SOURCES["books"].read(file, Span(0, 0), Reading("novels"))
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert (first.paragraphs, second.paragraphs[-1]) == (PROSE, after.strip())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_a_long_book_in_pieces_has_the_paragraphs_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, encoding: str
) -> None:
    chapters = [f"CHAPTER {n}\n\n{WRAPPED}\n\nHe — “it” — saw\n\n[Pg {n}]\n\nnothing in {n}.\n" for n in range(4000)]
    text = NEW_FRAME.format(encoding="none", this="THIS", story="\n".join(chapters)).replace("\n", end)
    whole = book(tmp_path / "a.txt", text, encoding)
    monkeypatch.setattr(books, "PIECE_CHARACTERS", 100_000)
    parts = list(SOURCES["books"].read(tmp_path / "a.txt", Span(0, 0), Reading("novels")))
    assert len(parts) > 5
    assert {(d.title, d.url) for d in parts if isinstance(d, Document)} == {(whole.title, whole.url)}
    assert [text for d in parts if isinstance(d, Document) for text in d.paragraphs] == whole.paragraphs
    left_out = sum((Counter(d.left_out) for d in parts if isinstance(d, Document)), Counter[str]())
    assert left_out == whole.left_out


def test_a_long_book_without_any_line_end_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "PIECE_CHARACTERS", 100_000)
    (tmp_path / "a.txt").write_text("word " * 100_000)
    parts = list(SOURCES["books"].read(tmp_path / "a.txt", Span(0, 0), Reading("novels")))
    words = [word for d in parts if isinstance(d, Document) for text in d.paragraphs for word in text.split()]
    assert set(words) == {"word"}
    assert len(words) == 100_000


def test_of_millions_of_empty_lines_no_list_is_made() -> None:
    slabs = list(layout._slabs("\n" * 3_000_000, "\n\n"))
    assert max(map(len, slabs)) <= layout.SLAB_CHARACTERS
    assert "\n\n".join(slabs) == "\n" * 3_000_000


@given(data=st.binary(max_size=400))
def test_no_bytes_raise_anything(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("books") / "a.txt"
    file.write_bytes(b"x" + data)
    assert list(SOURCES["books"].read(file, Span(0, 0), Reading("novels")))


LINES = st.lists(
    st.sampled_from([
        "", "  ", "A line of words", "that ends.", "CHAPTER I", "CONTENTS", "I.", "12", "* * *", "[Illustration", "]", "[Footnote 1: x",
        "_", '"', "-", "*** START OF THIS PROJECT GUTENBERG EBOOK X ***", "End of the Project Gutenberg EBook", "*END*THE SMALL PRINT!",
        "***START**THE SMALL PRINT!", "{3}", "…", "lower", "\u2028",
    ]),
    max_size=40,
)  # fmt: skip


@given(lines=LINES, piece=st.integers(1, 200))
def test_no_layout_makes_it_fail_or_leaves_an_empty_paragraph(
    lines: list[str], piece: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("books") / "a.txt"
    file.write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(books, "PIECE_CHARACTERS", piece)
        for document in SOURCES["books"].read(file, Span(0, 0), Reading("novels")):
            assert isinstance(document, Document)
            assert all(text and text == text.strip() and "\n" not in text for text in document.paragraphs)
