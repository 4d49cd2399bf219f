import bz2
import gzip
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from pipeline.core.errors import DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped
from pipeline.text.sources.document import uncut

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


def read(file: Path, truncated: Literal["error", "keep"] = "error") -> list[Document | Skipped]:
    return list(SOURCES["wikipedia"].read(file, uncut(file)[0], Reading("wiki", truncated=truncated)))


def titles(file: Path, xml: str) -> list[str]:
    file.write_text(xml, encoding="utf-8")
    return [document.title for document in read(file) if isinstance(document, Document)]


@pytest.mark.parametrize("schema", ["0.3", "0.10", "0.11", ""])
def test_an_article_of_any_schema_becomes_a_document(tmp_path: Path, schema: str) -> None:
    file = tmp_path / "wiki.xml"
    file.write_text(dump(SITE, page("AT&amp;T (x)", "A &amp;amp; ''b''.\n\nTwo.\n[[Kategoreja:X]]"), schema=schema))
    assert read(file) == [
        Document("wiki", "AT&T (x)", "https://ltg.wikipedia.org/wiki/AT%26T_(x)", ["A & b.", "Two."], {"categories": 1})
    ]


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


def test_a_page_that_takes_too_long_is_skipped_and_the_next_one_read(tmp_path: Path) -> None:
    endless = "[[Rome|it]] ''is'' {{convert|1|mi|km}} long. " * 400_000  # 18 MB, some seconds
    (tmp_path / "w.xml").write_text(dump(page("First"), page("Long", endless), page("Last")))
    reading = Reading("wiki", document_seconds=0.5)
    first, skipped, last = SOURCES["wikipedia"].read(tmp_path / "w.xml", uncut(tmp_path / "w.xml")[0], reading)
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert isinstance(skipped, Skipped)
    assert skipped.where == "page 'Long' (id 7)"
    assert skipped.reason.startswith("took longer than 0.5 s")


def test_list_items_are_read_as_the_user_wishes(tmp_path: Path) -> None:
    (tmp_path / "w.xml").write_text(dump(page(text="Rome is a city.\n* Via Appia\n* The river there is the Tiber.")))
    choices: list[Literal["all", "sentences", "none"]] = ["all", "sentences", "none"]
    readings = [Reading("wiki", list_items=choice) for choice in choices]
    found = [
        SOURCES["wikipedia"].read(tmp_path / "w.xml", uncut(tmp_path / "w.xml")[0], reading) for reading in readings
    ]
    assert [len(document.paragraphs) for (document,) in found if isinstance(document, Document)] == [3, 2, 1]


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (dump(page())[:-30], r"cut at byte \d+, before the XML is complete; download or copy it again"),
        (dump(page(), page())[:150], r"cut at byte 150, before the XML is complete"),
        ("", r"cut at byte 0, before the XML is complete"),
        (dump(page(text="a & b")), r"the XML is malformed at line 2 \(.*\); download it again"),
        (dump(page(text="a < b")), r"the XML is malformed at line 2"),
        (dump(page()) + dump(page()), r"the XML is malformed at line 4"),
        (dump(page(text="a \x02 b")), r"the XML is malformed at line 2"),
        (dump(page(text="a \0 b")), r"the XML is malformed: it holds NUL bytes"),
        (dump(page(text="a &#0; b")), r"the XML is malformed at line 2"),
        (dump(page(text="a &#xD800; b")), r"the XML is malformed at line 2"),
        (dump(page(text="&nbsp;")), r"the XML is malformed at line 2"),
        (dump(page().replace("<page>", "<pge>")), r"the XML is malformed at line 2"),
        ("just text", r"no XML \(it begins with b'just text'\), expected <mediawiki>"),
        ("<rss><page/></rss>", r"the root element is <rss>, expected <mediawiki>"),
        ("<?xml version='1.0'?><!-- <mediawiki> --><a:rss >", r"the root element is <rss>, expected <mediawiki>"),
    ],
)
@pytest.mark.parametrize("truncated", ["error", "keep"])
def test_a_dump_that_is_malformed_is_an_error_and_one_that_is_cut_only_if_that_is_wished(
    tmp_path: Path, xml: str, message: str, truncated: Literal["error", "keep"]
) -> None:
    file = tmp_path / "w.xml"
    file.write_text(xml)
    if truncated == "keep" and message.startswith("cut"):
        *documents, note = read(file, truncated)
        assert documents == [Document("wiki", "Rome", "", ["Rome is a city."])] * xml.count("</page>")
        assert isinstance(note, Skipped)
        assert note.where == f"byte {len(xml)}"
        assert (
            note.reason
            == "the file is cut here; what stands before is kept; to have the rest, download or copy it again"
        )
        return
    with pytest.raises(DataError, match=rf"^{re.escape(str(file))}: (?:{message})"):
        read(file, truncated)


@pytest.mark.parametrize("text", [b"caf\xe9", b"half \xed\xa0\x80 a pair", b"\xff"])
def test_a_dump_that_is_not_utf8_is_an_error(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "w.xml").write_bytes(dump(page(text="TEXT")).encode().replace(b"TEXT", text))
    with pytest.raises(DataError, match=r"w\.xml: the XML is malformed at line \d+ \(.*(?:UTF-8|encoding)"):
        read(tmp_path / "w.xml")


def test_a_multistream_dump_cut_between_two_streams_is_an_error(tmp_path: Path) -> None:
    xml = dump(page(), page()).encode()
    (tmp_path / "w.xml.bz2").write_bytes(bz2.compress(xml[:100]) + bz2.compress(xml[100:250]))
    with pytest.raises(DataError, match=r"cut at byte \d+, before the XML is complete"):
        read(tmp_path / "w.xml.bz2")


BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize("before", ["", "\ufeff", "<?xml version='1.0'?>\n<!-- a comment -->\n"])
@pytest.mark.parametrize(
    "entities",
    [
        '[<!ENTITY e11 "harmless">]',
        f'[<!ENTITY e0 "boom">{BOMB}]',
        '[<!ENTITY e11 SYSTEM "file://SECRET">]',
        'SYSTEM "file://SECRET"',
        '[<!ENTITY % p SYSTEM "file://SECRET"> %p;]',
        '[<!ENTITY e11 SYSTEM "http://127.0.0.1:9/secret">]',
    ],
)
@pytest.mark.parametrize("name", ["w.xml", "w.xml.gz"])
def test_a_dump_that_declares_entities_is_refused_before_any_is_read(
    tmp_path: Path, before: str, entities: str, name: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    xml = f"{before}<!DOCTYPE m {entities.replace('SECRET', str(tmp_path / 'secret'))}>" + dump(page(text="a &e11; b"))
    data = xml.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(DataError, match=r"w\.xml[.gz]*: the XML has a DOCTYPE, .*: name a dump of a wiki$"):
        read(tmp_path / name)


def test_a_dump_in_another_encoding_cannot_hide_its_entities(tmp_path: Path) -> None:
    xml = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE m [<!ENTITY e "e">]>' + dump(page(text="a &e; b"))
    (tmp_path / "w.xml").write_bytes(xml.encode("utf-16"))
    with pytest.raises(DataError, match=r"no XML \(it begins with"):
        read(tmp_path / "w.xml")
    (tmp_path / "w.xml").write_bytes(xml.replace("utf-16", "utf-7").encode("utf-7"))
    with pytest.raises(DataError, match=r"no XML|malformed|DOCTYPE"):
        read(tmp_path / "w.xml")


def test_the_five_entities_of_xml_and_numbers_are_read(tmp_path: Path) -> None:
    file = tmp_path / "w.xml"
    file.write_text(dump(page(title="A &amp; B &#233; &#x1F600;")))
    assert [document.title for document in read(file) if isinstance(document, Document)] == ["A & B é 😀"]


READ_AND_WEIGH = """
import sys
from pathlib import Path
from psutil import Process
import pipeline.text.wikitext
from pipeline.text.sources import SOURCES, Reading
from pipeline.text.sources.document import uncut
before = Process().memory_info().rss
documents = SOURCES["wikipedia"].read(Path(sys.argv[1]), uncut(Path(sys.argv[1]))[0], Reading("wiki"))
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
    (file,) = SOURCES["wikipedia"].find(folder, "train")
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
