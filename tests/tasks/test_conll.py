from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import DataError
from pipeline.tasks import TASKS
from pipeline.tasks.rows import Sentence

CONLL = TASKS["conll"]


def read(path: Path) -> list[Any]:
    return list(CONLL.read(path))


def written(folder: Path, text: str) -> Path:
    (folder / "train.conll").write_text(text, encoding="utf-8")
    return folder / "train.conll"


@pytest.mark.parametrize(
    ("file", "sentences", "words", "tags"),
    [
        ("ner/btc/a.conll", 1000, 16612, "B-LOC B-ORG B-PER I-LOC I-ORG I-PER O"),
        ("ner/btc/b.conll", 2000, 30825, "B-LOC B-ORG B-PER I-LOC I-ORG I-PER O"),
        ("ner/btc/e.conll", 200, 3981, "B-LOC B-ORG B-PER I-LOC I-ORG I-PER O"),
        ("ner/btc/f.conll", 2000, 35427, "B-LOC B-ORG B-PER I-LOC I-ORG I-PER O"),
        ("ner/btc/g.conll", 2138, 34062, "B-LOC B-ORG B-PER I-LOC I-ORG I-PER O"),
        # Balasuriya et al. 2009 count 39,007 tokens; the data README counts the 145 lines -DOCSTART- too.
        ("ner/wikigold/wikigold.conll.txt", 1841 - 145, 39152 - 145, "I-LOC I-MISC I-ORG I-PER O"),
        ("ner/wnut17/emerging.dev.conll", 1009, 15733, None),
        ("ner/wnut17/wnut17train.conll", 3394, 62730, None),
        ("domain/ncbi-disease/dev.txt.gz", 923, 23969, "B-Disease I-Disease O"),
        ("domain/ncbi-disease/train.txt.gz", 5424, 135701, "B-Disease I-Disease O"),
    ],
)
def test_every_word_of_the_real_files_is_read(
    shared_data: Path, file: str, sentences: int, words: int, tags: str | None
) -> None:
    rows = read(shared_data / file)
    assert len(rows) == sentences
    assert sum(len(row.words) for row in rows) == words
    assert all(len(row.words) == len(row.answer) > 0 for row in rows)
    found = sorted({tag for row in rows for tag in row.answer})
    if tags:
        assert " ".join(found) == tags
    else:
        types = {"corporation", "creative-work", "group", "location", "person", "product"}
        assert {tag[2:] for tag in found} - {""} == types


def test_an_empty_token_is_a_word_with_a_tag(shared_data: Path) -> None:
    empty = [row for row in read(shared_data / "ner" / "btc" / "f.conll") if "" in row.words]
    assert [row.words.count("") for row in empty] == [1]


@pytest.mark.parametrize(
    "text",
    [
        "Paris\tB-LOC\nis\tO\n\nYes\tO\n",  # tabs, two columns
        "Paris NNP B-NP B-LOC\nis VBZ B-VP O\n\nYes UH O O",  # spaces, four, no end of the last line
        "-DOCSTART- -X- O O\n\nParis NNP B-NP B-LOC\nis VBZ B-VP O\n\n\n-DOCSTART- -X- O O\n\nYes UH O O\n",
        "-DOCSTART- O\nParis B-LOC\nis O\n-DOCSTART- O\nYes O\n\n",  # documents part sentences too
        "Paris\tB-LOC\r\nis\tO\r\n\t\r\nYes\tO\r\n \r\n",  # a separator that holds a tab
        "\ufeffParis  B-LOC \nis  O\n\nYes  O\n",
    ],
)
def test_all_layouts_read_alike(tmp_path: Path, text: str) -> None:
    assert read(written(tmp_path, text)) == [Sentence(("Paris", "is"), ("B-LOC", "O")), Sentence(("Yes",), ("O",))]


def test_a_word_may_be_a_sentence(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "One O\n\nTwo O\n\nThree O\n"))
    assert [(row.words, row.line) for row in rows] == [(("One",), 1), (("Two",), 3), (("Three",), 5)]


def test_words_may_hold_spaces_or_be_empty_between_tabs(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "New York\tI-LOC\n\tO\n"))
    assert rows == [Sentence(("New York", ""), ("I-LOC", "O"))]
    assert [row.line for row in rows] == [1]


def test_the_usual_names_of_splits_are_found(tmp_path: Path) -> None:
    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        (tmp_path / name).touch()
    assert {split: path.name for split, path in CONLL.files(tmp_path).items()} == {
        "train": "wnut17train.conll",
        "dev": "emerging.dev.conll",
        "test": "emerging.test.annotated",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Paris\tB-LOC\nis\n",
            r"line 2 has 1 columns; expected 2, a word first and its tag last, parted by tabs as in",
        ),
        ("Paris NNP B-LOC\nis O\n", r"line 2 has 2 columns; expected 3, .* parted by spaces"),
        ("Paris\nis\n", r"line 1 has 1 columns; expected 2"),
        ("Paris\tB-LOC\nis\tX\n", r"line 2 has the tag 'X'; expected O, B-TYPE or I-TYPE, such as B-PER$"),
        ("Paris\tLOC\n", r"line 1 has the tag 'LOC'"),
        ("Paris\tB-\n", r"line 1 has the tag 'B-'"),
        ("\n\n", r"holds no words; expected a word and its tag a line$"),
        ("-DOCSTART- O\n", r"holds no words"),
        ("", r"is empty"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"/train\.conll: {reason}"):
        read(written(tmp_path, text))
