import bz2
import html
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped, Span

ARTICLE = """<doc id="12" url="https://en.wikipedia.org/wiki?curid=12" title="A &amp; B">
A &amp; B

It is 5 &amp;lt; 6 &amp;amp;nbsp;km&lt;br&gt;.
Second.

</doc>
"""


def read(file: Path, **how: str) -> list[Document | Skipped]:
    source = SOURCES["wikiextractor"]
    return [d for span in source.cut(file) for d in source.read(file, span, Reading("wiki", **how))]  # type: ignore[arg-type]


def written(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_an_article_loses_its_title_line_and_all_its_escapes(tmp_path: Path) -> None:
    assert read(written(tmp_path / "wiki_00", ARTICLE)) == [
        Document("wiki", "A & B", "https://en.wikipedia.org/wiki?curid=12", ["It is 5 < 6 \xa0km.", "Second."])
    ]


def test_the_json_form_gives_the_same(tmp_path: Path) -> None:
    text = "\n".join(ARTICLE.split("\n")[1:-2])
    row = {
        "id": "12",
        "revid": "1",
        "url": "https://en.wikipedia.org/wiki?curid=12",
        "title": "A &amp; B",
        "text": text,
    }
    lines = f"{json.dumps(row)}\n{{cut\n{json.dumps(row)}\n"
    first, bad, last = read(written(tmp_path / "wiki_00", lines))
    assert [first] == [last] == read(written(tmp_path / "wiki_01", ARTICLE))
    assert isinstance(bad, Skipped)


def test_older_and_newer_forms_of_the_opening_are_read(tmp_path: Path) -> None:
    text = '<doc id="1" revid="9" url="u" title="A "b" > c">\nOne.\n</doc>\n<doc id="2" url="u">\nTwo.\n</doc>'
    assert read(written(tmp_path / "wiki_00", text)) == [
        Document("wiki", 'A "b" > c', "u", ["One."]),
        Document("wiki", "", "u", ["Two."]),
    ]


def test_compressed_files_in_subfolders_are_found_and_read(tmp_path: Path) -> None:
    (tmp_path / "AA").mkdir()
    written(tmp_path / "AA" / "wiki_00.bz2", bz2.compress(ARTICLE.encode()))
    written(tmp_path / "AA" / "log.txt", "no")
    (file,) = SOURCES["wikiextractor"].find(tmp_path, "train")
    assert len(read(file)) == 1


def test_spans_of_a_large_file_give_what_the_whole_gives(tmp_path: Path) -> None:
    text = "".join(f'<doc id="{n}" url="u" title="T{n}">\nT{n}\n\n{"Word. " * 2000}\n</doc>\n' for n in range(500))
    file = written(tmp_path / "wiki_00", text)
    source = SOURCES["wikiextractor"]
    spans = source.cut(file)
    assert len(spans) > 1
    whole = list(source.read(file, Span(0, len(text)), Reading("wiki")))
    assert [d.title for d in whole if isinstance(d, Document)] == [f"T{n}" for n in range(500)]
    assert read(file) == whole


def test_what_is_malformed_is_skipped_and_the_rest_read(tmp_path: Path) -> None:
    first, good = read(written(tmp_path / "wiki_00", f'<doc id="1" url="u" title="X">\nlost\n{ARTICLE}'))
    also_good, stray, last = read(written(tmp_path / "wiki_01", f"{ARTICLE}between\n{ARTICLE}"))
    assert isinstance(good, Document)
    assert good == also_good == last
    assert first == Skipped("article 'X' (id 1)", "no </doc> before the next one")
    assert stray == Skipped("the line 'between'", "text outside of an article")


def test_files_put_together_without_a_line_end_keep_all_their_articles(tmp_path: Path) -> None:
    assert len(read(written(tmp_path / "wiki_00", ARTICLE.strip() * 3))) == 3


def test_an_article_that_is_not_utf8_is_skipped(tmp_path: Path) -> None:
    bad, good = read(written(tmp_path / "wiki_00", ARTICLE.encode().replace(b"Second", b"caf\xe9") + ARTICLE.encode()))
    assert bad == Skipped("article 'A &amp; B' (id 12)", "not UTF-8")
    assert isinstance(good, Document)


def test_a_file_that_ends_within_an_article_is_an_error_or_the_end(tmp_path: Path) -> None:
    file = written(tmp_path / "wiki_00", ARTICLE + ARTICLE[:-20])
    with pytest.raises(DataError, match=r"wiki_00: cut at byte \d+, within article 'A &amp; B' \(id 12\)"):
        read(file)
    kept, note = read(file, truncated="keep")
    assert isinstance(kept, Document)
    assert isinstance(note, Skipped)


def test_a_file_of_something_else_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"wiki_00: does not begin with <doc or \{; name files that WikiExtractor wrote"
    ):
        read(written(tmp_path / "wiki_00", "plain text"))
    with pytest.raises(ConfigError, match="no output of WikiExtractor"):
        SOURCES["wikiextractor"].find(tmp_path / "AA", "train") if (tmp_path / "AA").mkdir() is None else None


def test_millions_of_empty_lines_are_nothing(tmp_path: Path) -> None:
    assert (
        read(written(tmp_path / "wiki_00", "\n" * 2_000_000 + ARTICLE))[0]
        == read(written(tmp_path / "wiki_01", ARTICLE))[0]
    )


@given(
    st.lists(
        st.sampled_from(
            [
                b"<doc ",
                b'<doc id="1" url="u" title="t">',
                b"</doc>",
                b"\n",
                b"{",
                b"}",
                b"a",
                b"\xff",
                b"&amp;",
                b"<br>",
            ]
        ),
        max_size=30,
    ).map(b"".join)
)
def test_no_bytes_raise_anything_but_a_data_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = written(tmp_path_factory.mktemp("wiki") / "wiki_00", data)
    with suppress(DataError):
        read(file, truncated="keep")


def test_real_output_is_read_whole(shared_data: Path) -> None:
    file = shared_data / "wikipedia" / "wikiextractor-output-sample" / "wiki_00"
    anarchism, autism = read(file)
    assert isinstance(anarchism, Document)
    assert isinstance(autism, Document)
    assert (anarchism.title, autism.title) == ("Anarchism", "Autism")
    lines = [line.strip() for line in file.read_text().splitlines()]
    body = [
        line
        for line in lines
        if line and not line.startswith(("<doc", "</doc")) and line not in ("Anarchism", "Autism")
    ]
    assert anarchism.paragraphs + autism.paragraphs == [html.unescape(line) for line in body]
