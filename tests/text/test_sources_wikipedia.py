import bz2
import gzip
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipeline.core.errors import DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped

DUMPS = {
    "gensim": "enwiki-gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
    "tables": "enwiki-gensim/enwiki-table-markup.xml.bz2",
    "japanese": "japanese-architects-2009/japanese_architects.xml.bz2",
    "latgalian": "ltgwiki-smallwiki/smallwiki-latest-pages-articles.xml.bz2",
    "afar": "aawiki-meta-current/aawiki-20260101-pages-meta-current.xml.bz2",
}
SITE = """<siteinfo><base>https://ltg.wikipedia.org/wiki/Suoku_puslopa</base><namespaces><namespace key="0" />
<namespace key="6">Fails</namespace><namespace key="14">Kategoreja</namespace><namespace key="2">Lītuotuojs</namespace>
</namespaces></siteinfo>"""


def page(title: str = "Rome", text: str = "Rome is a city.", ns: str = "<ns>0</ns>", more: str = "") -> str:
    return f"<page><title>{title}</title>{ns}<id>7</id>{more}<revision><id>1</id><text>{text}</text></revision></page>"


def dump(*parts: str, schema: str = "0.10") -> str:
    xmlns = f' xmlns="http://www.mediawiki.org/xml/export-{schema}/"' if schema else ""
    return f'<mediawiki{xmlns} xml:lang="en">\n' + "\n".join(parts) + "\n</mediawiki>\n"


def read(file: Path) -> list[Document | Skipped]:
    return list(SOURCES["wikipedia"].read(file, Reading("wiki")))


def titles(file: Path, xml: str) -> list[str]:
    file.write_text(xml, encoding="utf-8")
    return [document.title for document in read(file) if isinstance(document, Document)]


@pytest.mark.parametrize("schema", ["0.3", "0.10", "0.11", ""])
def test_an_article_of_any_schema_becomes_a_document(tmp_path: Path, schema: str) -> None:
    file = tmp_path / "wiki.xml"
    file.write_text(dump(SITE, page("AT&amp;T (x)", "A &amp;amp; ''b''.\n\nTwo.\n[[Kategoreja:X]]"), schema=schema))
    assert read(file) == [Document("wiki", "AT&T (x)", "https://ltg.wikipedia.org/wiki/AT%26T_(x)", ["A & b.", "Two."])]


@pytest.mark.parametrize("name", ["w.xml", "w.xml.gz", "w.xml.bz2", "multistream.xml.bz2"])
def test_every_kind_of_compression_gives_the_same_documents(tmp_path: Path, name: str) -> None:
    pages = [page(f"Page {n}") for n in range(50)]
    xml = dump(*pages).encode()
    streams = [xml[:40], xml[40:3000], xml[3000:]]
    data = {".gz": gzip.compress(xml), ".xml": xml, ".bz2": bz2.compress(xml)}[Path(name).suffix]
    file = tmp_path / name
    file.write_bytes(b"".join(map(bz2.compress, streams)) if name.startswith("multi") else data)
    assert read(file) == [Document("wiki", f"Page {n}", "", ["Rome is a city."]) for n in range(50)]


def test_only_articles_are_read(tmp_path: Path) -> None:
    xml = dump(
        SITE,
        page("Kept: a title with a colon"),
        page("Talk:Rome", ns="<ns>1</ns>"),
        page("Anything", ns="<ns>828</ns>"),
        page("Redirect", more='<redirect title="Rome" />'),
        page("Code", text="x = 1", more="").replace("<text>", "<model>Scribunto</model><text>"),
    )
    assert titles(tmp_path / "w.xml", xml) == ["Kept: a title with a colon"]


@pytest.mark.parametrize(
    "text",
    [
        "#REDIRECT [[Rome]]",
        " #redirect[[Rome]]",
        "#Redirect: [[Rome]]",
        "#WEITERLEITUNG [[Rom]]",
        "#перенаправление [[Рим]]",
    ],
)
def test_redirects_of_old_dumps_are_known_by_their_text(tmp_path: Path, text: str) -> None:
    assert titles(tmp_path / "w.xml", dump(page(text=text), page("B", "# list item\n#other"))) == ["B"]


def test_namespaces_of_old_dumps_are_known_by_their_prefix(tmp_path: Path) -> None:
    names = [
        "Category:X",
        "template:X",
        "File:X",
        "Wikipedia talk:X",
        "User:X",
        "Talk:X",
        "Lītuotuojs:X",
        "Star Trek: X",
        "X",
    ]
    assert titles(tmp_path / "w.xml", dump(SITE, *(page(name, ns="") for name in names))) == ["Star Trek: X", "X"]
    assert titles(tmp_path / "w.xml", dump(page("Lītuotuojs:X", ns=""))) == [
        "Lītuotuojs:X"
    ]  # no siteinfo, no way to know


def test_pages_without_words_are_documents_without_paragraphs(tmp_path: Path) -> None:
    empty = page().replace("<text>Rome is a city.</text>", "<text deleted='deleted' />")
    bare = re.sub("<revision>.*</revision>", "", page("Bare"))
    (tmp_path / "w.xml").write_text(dump(empty, bare, page("Table", "{|\n|x\n|}")))
    assert [document.paragraphs for document in read(tmp_path / "w.xml") if isinstance(document, Document)] == [
        [],
        [],
        [],
    ]


def test_the_last_revision_counts(tmp_path: Path) -> None:
    two = page().replace("<revision>", "<revision><id>0</id><text>Old.</text></revision><revision>")
    (tmp_path / "w.xml").write_text(dump(two))
    assert [d.paragraphs for d in read(tmp_path / "w.xml") if isinstance(d, Document)] == [["Rome is a city."]]


def test_a_page_that_cannot_be_parsed_is_skipped_and_the_next_one_read(tmp_path: Path) -> None:
    nested = "&lt;div&gt;" * 39 + "x" + "&lt;/div&gt;" * 39
    (tmp_path / "w.xml").write_text(dump(page("First"), page("Deep", nested), page("Last")))
    documents = SOURCES["wikipedia"].read(tmp_path / "w.xml", Reading("wiki"))
    found = [next(documents)]
    limit, depth, frame = sys.getrecursionlimit(), 0, sys._getframe()
    while frame.f_back:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(depth + 70)  # the parser itself refuses nothing we know of
    try:
        found += documents
    finally:
        sys.setrecursionlimit(limit)
    first, skipped, last = found
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert isinstance(skipped, Skipped)
    assert skipped.where == "page 'Deep' (id 7)"
    assert skipped.reason.startswith("the wikitext cannot be parsed (")


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (dump(page())[:-30], r"the XML is cut or malformed at line \d+, before byte \d+ \(.*\); download it again"),
        (dump(page(), page())[:150], r"the XML is cut or malformed at line"),
        ("", r"the XML is cut or malformed at line"),
        (dump(page(text="a & b")), r"the XML is cut or malformed at line 2, before byte \d+"),
        (dump(page(text="a < b")), r"the XML is cut or malformed at line 2"),
        (dump(page()) + dump(page()), r"the XML is cut or malformed at line 4"),
        (dump(page(text="a \x02 b")), r"the XML is cut or malformed at line 2"),
        ("just text", r"the XML is cut or malformed at line 1"),
        ("<rss><page/></rss>", r"the root element is <rss>, expected <mediawiki>"),
        (dump(page(text="&nbsp;")), r"the XML is cut or malformed at line 2"),
    ],
)
def test_a_dump_that_is_cut_or_malformed_is_an_error(tmp_path: Path, xml: str, message: str) -> None:
    file = tmp_path / "w.xml"
    file.write_text(xml)
    with pytest.raises(DataError, match=rf"^{re.escape(str(file))}: (?:{message})"):
        read(file)


def test_a_dump_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "w.xml").write_bytes(dump(page(text="caf\u00e9")).encode("latin-1"))
    with pytest.raises(
        DataError, match=r"w\.xml: the XML is cut or malformed at line 2, before byte \d+ \(.*(?:UTF-8|encoding)"
    ):
        read(tmp_path / "w.xml")


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_a_cut_compressed_dump_is_an_error(tmp_path: Path, suffix: str, compress: type) -> None:
    data = compress(dump(*(page(f"Page {n}") for n in range(5000))).encode())
    (tmp_path / f"w.xml{suffix}").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut at byte \d+, in the middle of a compressed stream"):
        read(tmp_path / f"w.xml{suffix}")


def test_a_multistream_dump_cut_between_two_streams_is_an_error(tmp_path: Path) -> None:
    xml = dump(page(), page()).encode()
    (tmp_path / "w.xml.bz2").write_bytes(bz2.compress(xml[:100]) + bz2.compress(xml[100:250]))
    with pytest.raises(DataError, match="the XML is cut or malformed"):
        read(tmp_path / "w.xml.bz2")


def test_entities_are_expanded_but_a_bomb_of_them_is_an_error(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    file = tmp_path / "w.xml"
    file.write_text('<!DOCTYPE m [<!ENTITY e "e">]>' + dump(page(text="a &e; b &#233;")))
    assert [document.paragraphs for document in read(file) if isinstance(document, Document)] == [["a e b é"]]
    file.write_text(f'<!DOCTYPE m [<!ENTITY e0 "boom">{levels}]>' + dump(page(text="a &e11; b")))
    with pytest.raises(DataError, match=r"cut or malformed at line 1, .*entity amplification"):
        read(file)


def test_a_file_outside_the_dump_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    file = tmp_path / "w.xml"
    file.write_text(f'<!DOCTYPE m [<!ENTITY s SYSTEM "file://{tmp_path}/secret">]>' + dump(page(text="a &s; b")))
    with pytest.raises(DataError, match="cut or malformed"):
        read(file)


READ_AND_WEIGH = """
import sys
from pathlib import Path
from psutil import Process
import pipeline.text.sources.wikitext
from pipeline.text.sources import SOURCES, Reading
before = Process().memory_info().rss
documents = SOURCES["wikipedia"].read(Path(sys.argv[1]), Reading("wiki"))
print(next(documents).title, Process().memory_info().rss - before)
"""


def test_memory_does_not_grow_with_the_dump(tmp_path: Path) -> None:
    talk = [page(f"Page {n}", ns="<ns>1</ns>", text="word " * 2000) for n in range(6000)]
    (tmp_path / "w.xml").write_text(dump(*talk, page("Last")))  # 60 MB
    command = [sys.executable, "-c", READ_AND_WEIGH, str(tmp_path / "w.xml")]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout
    title, grown_bytes = out.split()
    assert title == "Last"
    assert int(grown_bytes) < 20_000_000


# Counted with xml.etree: namespace 0 without redirects, of 206, 5, 136, 2004 and 507 pages.
ARTICLES = {
    "gensim": 205 - 99,
    "tables": 5,
    "japanese": 136 - 96 - 3,
    "latgalian": 1050 - 147,
    "afar": 2 - 1,
}


@pytest.fixture(scope="module")
def real(shared_data: Path) -> dict[str, list[Document]]:
    read_all = {name: read(shared_data / "wikipedia" / path) for name, path in DUMPS.items()}
    return {name: [d for d in documents if isinstance(d, Document)] for name, documents in read_all.items()}


def test_every_article_of_the_real_dumps_is_found(real: dict[str, list[Document]]) -> None:
    assert {name: len(documents) for name, documents in real.items()} == ARTICLES


@pytest.mark.slow
def test_a_multistream_dump_gives_exactly_the_documents_of_the_single_stream(
    real: dict[str, list[Document]], shared_data: Path
) -> None:
    folder = shared_data / "wikipedia" / "enwiki-multistream-derived"
    (file,) = SOURCES["wikipedia"].find(folder)
    assert read(file) == real["gensim"]


def test_nearly_every_article_has_prose(real: dict[str, list[Document]]) -> None:
    empty = {name: sum(not document.paragraphs for document in documents) for name, documents in real.items()}
    assert empty == {"gensim": 1, "tables": 0, "japanese": 0, "latgalian": 21, "afar": 1}


def test_a_real_article_reads_as_its_page_does(real: dict[str, list[Document]]) -> None:
    anarchism = next(document for document in real["gensim"] if document.title == "Anarchism")
    assert anarchism.url == "https://en.wikipedia.org/wiki/Anarchism"
    assert anarchism.paragraphs[0].startswith(
        "Anarchism is a political philosophy that advocates self-governed societies based on voluntary institutions. These are "
        "often described as stateless societies, although several authors have defined them more specifically"
    )


@pytest.mark.parametrize("name", ["gensim", "tables", "japanese"])
def test_no_markup_and_no_debris_is_left_in_real_articles(real: dict[str, list[Document]], name: str) -> None:
    left = re.compile(
        r"\{\{|\}\}|\[\[|\]\]|</?[a-zA-Z]+[ />]|==|''|\( *\)|\([,;]|[,;] *\)|, *,| ,(?=\s)|&(?:amp|lt|gt|nbsp|quot|[nm]dash|#\d+);|thumb\||\b(?:Category|File|Image):"
    )
    found = Counter(match[0] for document in real[name] for text in document.paragraphs if (match := left.search(text)))
    assert sum(found.values()) <= 2 * (name == "gensim"), found
