from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.core.arrow import BatchWriter
from pipeline.tables import DOCUMENTS
from pipeline.text.clean import normalise
from pipeline.text.dedup import identity
from pipeline.text.finding import Row, about, find, one_of

ROWS_PER_BATCH = 3


def write(folder: Path, files: list[list[tuple[str, str, list[str]]]]) -> tuple[list[Path], list[Row]]:
    """Write documents given by title, url and sentences, three in a batch; also says where each stands."""
    paths, rows = [], []
    for shard, documents in enumerate(files):
        path = folder / f"{shard}.arrow"
        table = []
        for at, (title, url, sentences) in enumerate(documents):
            rows.append(Row(identity(sentences), "s", title, url, shard, at))
            table.append({**rows[-1]._asdict(), "sentences": sentences})
        with BatchWriter(path, DOCUMENTS, codec="zstd", target_bytes=1) as writer:
            for begin in range(0, len(table), ROWS_PER_BATCH):
                some = [{name: row[name] for name in DOCUMENTS.names} for row in table[begin : begin + ROWS_PER_BATCH]]
                writer.add(pa.RecordBatch.from_pylist(some, schema=DOCUMENTS))
        paths.append(path)
    return paths, rows


def numbered() -> list[list[tuple[str, str, list[str]]]]:
    return [
        [(f"Title {shard}.{at}", f"http://{shard}/{at}", [f"Text {shard}.{at}."]) for at in range(7)]
        for shard in range(3)
    ]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return write(tmp_path, numbered())[0]


def test_every_document_is_found_where_it_stands_by_id_url_and_title(tmp_path: Path) -> None:
    paths, rows = write(tmp_path, numbered())
    for row in rows:
        for by, name in (("id", row.id), ("url", row.url), ("title", row.title)):
            found = find(paths, name, most=5)
            assert (found.by, found.rows, found.total) == (by, [row], 1)


def test_the_surest_name_is_taken_before_the_others(tmp_path: Path) -> None:
    text = ["A text."]
    named = [("a", identity(text), ["Two."]), (identity(text), "", ["Three."]), ("b", "", text)]
    paths, rows = write(tmp_path, [[("c", "", [f"It tells of {identity(text)}."]), *named]])
    assert find(paths, identity(text), most=5).rows == [rows[3]]
    paths, rows = write(tmp_path, [[("c", "", ["It is called b."]), ("b", "", ["x"]), ("x", "b", ["y"])]])
    assert (find(paths, "b", most=5).by, find(paths, "b", most=5).rows) == ("url", [rows[2]])
    assert find(paths, "called b", most=5).rows == [rows[0]]


@pytest.mark.parametrize(
    "fragment",
    ["walnuts. Nobody counted", "  walnuts.\n\tNobody ", "counted the\u00a0pears", "three walnuts", "An unusual ti"],
)
def test_a_fragment_may_cross_sentences_and_lines(fragment: str, tmp_path: Path) -> None:
    document = ("An unusual title", "", ["There were three walnuts.", "Nobody counted the pears."])
    paths, rows = write(tmp_path, [[("a", "", ["One."])] * 4, [document]])
    found = find(paths, fragment, most=5)
    assert (found.by, found.rows) == ("text", [rows[4]])


@pytest.mark.parametrize(
    "fragment", ["walnuts Nobody", "NOBODY", "pears. There", "nuts. Nob ody", "no such words", "." * 9]
)
def test_what_stands_nowhere_is_not_found(fragment: str, tmp_path: Path) -> None:
    paths, _ = write(tmp_path, [[("a", "", ["There were three walnuts.", "Nobody counted the pears."])]])
    assert find(paths, fragment, most=5).total == 0


def test_sentences_without_spaces_between_are_found(tmp_path: Path) -> None:
    paths, rows = write(tmp_path, [[("a", "", ["我喜欢苹果。", "他喜欢梨。"])]])
    assert find(paths, "苹果。他喜欢", most=5).rows == rows


def test_only_some_of_many_are_given_and_all_are_counted(paths: list[Path]) -> None:
    found = find(paths, "Text", most=4)
    assert [(row.shard, row.row) for row in found.rows] == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert found.total == 21
    assert [row.title for row in find(paths, "Text 1.", most=9).rows] == [f"Title 1.{at}" for at in range(7)]


def test_rows_are_told_by_any_of_their_names(paths: list[Path]) -> None:
    rows = about(paths[1], one_of(["Title 1.2", "http://1/4", "Title 0.0"]))
    assert [row["title"] for row in rows] == ["Title 1.2", "Title 1.4"]
    assert list(about(paths[1], one_of(["Title 1.2"], ["id"]))) == []


words = some.text("ab. \u6211\u3002", max_size=4).map(normalise)


@settings(deadline=None)
@given(
    documents=some.lists(some.tuples(words, some.lists(words.filter(bool), max_size=4)), max_size=12),
    wanted=words.filter(bool),
)
def test_words_are_found_as_by_looking_through_every_text(
    documents: list[tuple[str, list[str]]], wanted: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    paths, rows = write(
        tmp_path_factory.mktemp("documents"), [[(f"{title}!", "", sentences) for title, sentences in documents]]
    )
    holding = [
        row
        for row, (title, sentences) in zip(rows, documents, strict=True)
        if any(wanted in text for text in (f"{title}!", " ".join(sentences), "".join(sentences)))
    ]
    found = find(paths, wanted, most=20)
    assert (found.rows, found.total) == (holding, len(holding))
