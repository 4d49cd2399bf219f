import bz2
import re
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from lxml import etree

from pipeline.text.wikitext import prose

MARKUP = re.compile(
    r"\[\[|\]\]|\{\{|\}\}|''|==|</?(?:ref|br|small|div|span|math|table|t[rdh])\b[^<>]*>|&(?:lt|gt|quot|nbsp);|(?<![\w.])\(\s*[,;]*\s*\)"
)


@pytest.fixture(scope="module")
def single_pages(shared_data: Path) -> dict[str, str]:
    archive = shared_data / "wikipedia/wikitext-pages-wtf/wikitext-pages-wtf.tar.zst"
    unpacked = subprocess.run(["zstd", "-d", "--long=27", "-c", archive], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(unpacked)) as tar:
        files = {Path(member.name).stem: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read().decode() for name, file in files.items() if file}


@pytest.fixture(scope="module")
def articles(shared_data: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for dump in (
        "enwiki-gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
        "japanese-architects-2009/japanese_architects.xml.bz2",
    ):
        with bz2.open(shared_data / "wikipedia" / dump) as stream:
            for _, page in etree.iterparse(stream, tag="{*}page"):
                if page.findtext("{*}ns") in (None, "0"):
                    found[page.findtext("{*}title") or ""] = page.findtext("{*}revision/{*}text") or ""
                page.clear()
    return found


def test_no_real_page_keeps_markup(articles: dict[str, str], single_pages: dict[str, str]) -> None:
    assert len(articles) + len(single_pages) > 270
    found = [
        (title, match[0])
        for title, text in (articles | single_pages).items()
        for p in prose(text).paragraphs
        if (match := MARKUP.search(p))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("title", "sentence"),
    [
        ("Anarchism", "The first known use of this word was in 1539."),
        ("Afroasiatic languages", "Afroasiatic"),
        ("Toyo Ito", "In 1991 Ito used 130 video projectors to simulate the urban environment of Tokyo"),
    ],
)
def test_sentences_of_real_pages_are_whole(articles: dict[str, str], title: str, sentence: str) -> None:
    assert sentence in "\n".join(prose(articles[title]).paragraphs)


def test_alabama_keeps_its_numbers(articles: dict[str, str]) -> None:
    text = "\n".join(prose(articles["Alabama"]).paragraphs)
    assert "At 1,300 miles" in text
    assert "At ," not in text
