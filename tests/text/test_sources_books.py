import csv
import gzip
import re
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.core.errors import DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped

STORY = "It was the best of times,\nit was the worst of times.\n\nThe end — “fin”."
PROSE = ["It was the best of times, it was the worst of times.", "The end — “fin”."]

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
    (document,) = SOURCES["books"].read(file, Reading("novels"))
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
    text = NEW_FRAME.format(encoding=declared, this="THIS", story=f"{word} vu")
    assert book(tmp_path / "a.txt", text, encoding).paragraphs == [f"{word} vu"]


def test_utf8_is_believed_against_the_header(tmp_path: Path) -> None:
    text = NEW_FRAME.format(encoding="ISO-8859-1", this="THIS", story=STORY)
    assert book(tmp_path / "a.txt", text).paragraphs == PROSE


def test_a_byte_that_cp1252_does_not_know_leaves_latin_1(tmp_path: Path) -> None:
    text = NEW_FRAME.format(encoding="ISO-8859-1", this="THIS", story="déjà\x81 vu")
    assert book(tmp_path / "a.txt", text, "latin-1").paragraphs == ["déjà vu"]


@pytest.mark.parametrize("data", [bytes(range(256)) * 50, b"PK\x03\x04\x00\x00" * 100, b"\xff\xfe\x00"])
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
        "novels", "A Tale of Two Lines", "https://www.gutenberg.org/ebooks/98", PROSE
    )


def test_the_old_frame_with_the_small_print_in_front_is_taken_off(tmp_path: Path) -> None:
    text = OLD_FRAME.format(story=STORY)
    assert book(tmp_path / "tale10.txt", text) == Document(
        "novels", "A Tale", "https://www.gutenberg.org/ebooks/98", PROSE
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


@pytest.fixture(scope="module")
def gitenberg(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    folder = tmp_path_factory.mktemp("gitenberg")
    archive = shared_data / "books" / "gitenberg-A" / "gitenberg-A.tar.zst"
    with pa.input_stream(str(archive), compression="zstd") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        tar.extractall(folder, filter="data")
    documents = [(file.name, read(file)) for file in SOURCES["books"].find(folder)]
    return {name: document for name, document in documents if isinstance(document, Document)}


def test_real_books_of_every_encoding_are_read(gitenberg: dict[str, Document], shared_data: Path) -> None:
    manifest = (shared_data / "books" / "gitenberg-A" / "MANIFEST.tsv").read_text()
    rows = list(csv.DictReader(manifest.splitlines(), delimiter="\t"))
    assert {row["encoding"] for row in rows} == {"ascii", "utf-8", "utf-8-bom", "iso-8859-1/cp1252"}
    assert sorted(gitenberg) == sorted(row["file"] for row in rows)
    for name, document in gitenberg.items():
        text = "\n".join(document.paragraphs)
        assert not re.search("\ufffd|\ufeff|[\u0080-\u009f]|Ã.|â€", text), name


def test_real_books_keep_their_letters(gitenberg: dict[str, Document]) -> None:
    words = {
        "Anna-Karenina_1399__1399-8.txt": "soirée",
        "Crime-and-Punishment_2554__2554-8.txt": "Svidrigaïlov",
        "Siddhartha_2500__2500-8.txt": "über",
        "Ulysses_4300__4300-0.txt": "—Introibo ad altare Dei.",
        "War-and-Peace_2600__2600-0.txt": "Natásha",
    }
    for name, word in words.items():
        assert any(word in paragraph for paragraph in gitenberg[name].paragraphs), name


def test_nothing_of_project_gutenberg_is_left_in_real_books(gitenberg: dict[str, Document]) -> None:
    frame = re.compile(
        r"project gutenberg|gutenberg\.(?:org|net)|\be-?texts?\b|\be-?books?\b|small print|registered trademark|^produced by|distributed proofread",
        re.IGNORECASE,
    )
    left = [
        (name, text[:90]) for name, document in gitenberg.items() for text in document.paragraphs if frame.search(text)
    ]
    assert left == []


def test_real_books_have_their_titles_addresses_and_last_words(gitenberg: dict[str, Document]) -> None:
    emma, ulysses = gitenberg["Emma_158__158-0.txt"], gitenberg["Ulysses_4300__4300-0.txt"]
    assert (emma.title, emma.url) == ("Emma", "https://www.gutenberg.org/ebooks/158")
    assert (emma.paragraphs[0], emma.paragraphs[-1]) == ("EMMA", "FINIS")
    assert ulysses.paragraphs[-1] == "1914-1921"
    assert all(re.search(r"/ebooks/\d+$", document.url) for document in gitenberg.values())
    assert (
        gitenberg["A-Tale-of-Two-Cities_98__98-0.txt"].title == "A Tale of Two Cities A Story of the French Revolution"
    )


def test_the_frame_and_little_else_is_taken_from_real_books(gitenberg: dict[str, Document], shared_data: Path) -> None:
    manifest = (shared_data / "books" / "gitenberg-A" / "MANIFEST.tsv").read_text()
    for row in csv.DictReader(manifest.splitlines(), delimiter="\t"):
        read_bytes = sum(len(text.encode()) + 2 for text in gitenberg[row["file"]].paragraphs)
        assert read_bytes > 0.9 * (int(row["bytes"]) - 22_000), row["file"]
