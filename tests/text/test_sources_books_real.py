"""Ordinary prose found fast is what is found line by line, and real books are read to the last word."""

import csv
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.sources import SOURCES, Document, Reading, Skipped, Span, books, layout, ordinary

SENTENCES = st.sampled_from([
    "She came in, and the lamp on the table", "went out.", "He spoke of Mr.", "Pip, of Mrs.", "and so on, as the others.", "I said so.",
    "“Who is there?”", "‘No,’", "— and then", "to-", "morrow it rains  ", "  indented lines of a verse", "\ta tab.", "CHAPTER I", "Chapter and",
    "chapter the second", "_Part_ two", "PART TWO.", "The end", "The end of it.", "CONTENTS", "I. The Beginning", "IV - The Middle 12", "12.", "[Pg 3]",
    "p. 12", "* * *", "ALL IN CAPITALS.", "Letter by letter", "Act", "Élan vital.", "été", "ſection i", "vol. ı", "İ", "x\u2028", "\xa0", "\x0c", "𐐨 small",
    "𐐀 large.", "a context", "Transcriber's note", "lower, then", ", and", "! more", "É", "§ 4", "¹ one", "٣", *("word " * n for n in range(10, 16)), "word " * 28, "word " * 30, "Long. " * 60, "\ud800",
])  # fmt: skip


def looked_at(text: str, width: int, words: Iterable[str]) -> ordinary.Stretches:
    """Find nothing ordinary."""
    blank = not text or text.isspace()
    return ordinary.Stretches([], [], [], []) if blank else ordinary.Stretches([0], [len(text.rstrip())], [""], [0])


def paragraphs_of(pieces: list[str], width: int, foreign: layout.Foreign) -> tuple[list[str], Counter[str]]:
    paragraphs = layout.Paragraphs(width, foreign)
    found = [text for piece in pieces for text in paragraphs.take(piece)]
    return [*found, *paragraphs.rest()], paragraphs.left_out


@settings(deadline=None, max_examples=400)
@given(
    lines=st.lists(
        st.tuples(SENTENCES, st.sampled_from(["\n", "\n", "\n\n", "\n \n", "\r\n", "\r\n\r\n"])), max_size=40
    ),
    width=st.sampled_from([0, 40, 72]),
    framed=st.booleans(),
    slab=st.integers(10, 500),
)
def test_what_is_found_fast_is_what_is_found_line_by_line(
    lines: list[tuple[str, str]], width: int, framed: bool, slab: int
) -> None:
    pieces = ["".join(map("".join, lines[:20])), "".join(map("".join, lines[20:]))]
    foreign = books.TYPISTS if framed else layout.NOBODY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SLAB_CHARACTERS", slab)
        fast = paragraphs_of(pieces, width, foreign)
        patch.setattr(ordinary, "stretches", looked_at)
        assert fast == paragraphs_of(pieces, width, foreign)


def test_most_of_a_real_book_is_found_fast(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examined: list[str] = []
    examine = layout.Paragraphs._examined

    def noted(self: layout.Paragraphs, stretch: str) -> Iterator[str]:
        examined.append(stretch)
        return examine(self, stretch)

    monkeypatch.setattr(layout.Paragraphs, "_examined", noted)
    found = archive_of_books(shared_data, "english-novels-A", tmp_path)
    characters = sum(len(text) for document in found.values() for text in document.paragraphs)
    assert 0 < sum(map(len, examined)) < 0.1 * characters


@pytest.fixture(scope="module")
def gitenberg(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    return archive_of_books(shared_data, "gitenberg-A", tmp_path_factory.mktemp("gitenberg"))


@pytest.fixture(scope="module")
def novels(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    return archive_of_books(shared_data, "english-novels-A", tmp_path_factory.mktemp("novels"))


def read(file: Path) -> Document | Skipped:
    (document,) = SOURCES["books"].read(file, Span(0, file.stat().st_size), Reading("novels"))
    return document


def archive_of_books(shared_data: Path, name: str, folder: Path) -> dict[str, Document]:
    archive = shared_data / "books" / name / f"{name}.tar.zst"
    with pa.input_stream(str(archive), compression="zstd") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        tar.extractall(folder, filter="data")
    documents = [(file.name, read(file)) for file in SOURCES["books"].find(folder, "train")]
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
    assert emma.paragraphs[0].startswith("Emma Woodhouse, handsome, clever, and rich, with a comfortable home")
    assert emma.paragraphs[-1].endswith("in the perfect happiness of the union.")
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


@pytest.mark.parametrize(
    ("gutenberg", "other", "alike"),
    [
        ("Great-Expectations_1400__1400-0.txt", "Dickens_Expectations_1861.txt", 0.985),
        ("Treasure-Island_120__120-0.txt", "Stevenson_Treasure_1883.txt", 0.985),
    ],
)
def test_the_same_book_of_two_archives_has_the_same_words(
    gitenberg: dict[str, Document], novels: dict[str, Document], gutenberg: str, other: str, alike: float
) -> None:
    one, two = (
        Counter(re.findall(r"[a-z]+", " ".join(d.paragraphs).lower())) for d in (gitenberg[gutenberg], novels[other])
    )
    assert (one & two).total() / max(one.total(), two.total()) > alike


def test_books_of_every_layout_have_paragraphs_that_are_sentences(novels: dict[str, Document]) -> None:
    assert len(novels) == 48
    for name, document in novels.items():
        ended = sum(text[-1] in ".!?\"'”’:,;-)—…_*" for text in document.paragraphs)
        assert ended > 0.88 * len(document.paragraphs), name
        assert not [
            text for text in document.paragraphs if re.match(r"(?:CHAPTER|Chapter) (?:[IVXLC]+|\d+)\b", text)
        ], name
        assert sum(map(len, document.paragraphs)) / len(document.paragraphs) > 80, name


def test_hardly_a_word_of_the_novels_is_left_out(
    novels: dict[str, Document], shared_data: Path, tmp_path: Path
) -> None:
    archive = shared_data / "books" / "english-novels-A" / "english-novels-A.tar.zst"
    with pa.input_stream(str(archive), compression="zstd") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        tar.extractall(tmp_path, filter="data")
    for file in tmp_path.rglob("*.txt"):
        written = Counter(re.findall(r"\w+", file.read_text("utf-8-sig")))
        read_words = Counter(re.findall(r"\w+", " ".join(novels[file.name].paragraphs)))
        assert (written - read_words).total() < 0.005 * written.total() + 60, file.name
