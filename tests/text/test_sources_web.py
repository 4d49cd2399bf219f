import gzip
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped, Span
from pipeline.text.sources.html_prose import prose

SENTENCE = "This is a sentence of a page, and long enough to be one."
PAGE = f"<html><head><title>A &amp; B</title></head><body><p>{SENTENCE}</p></body></html>"


def read(file: Path, **how: str) -> list[Document | Skipped]:
    return list(SOURCES["warc"].read(file, Span(0, file.stat().st_size), Reading("web", **how)))  # type: ignore[arg-type]


def written(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file


def record(
    body: bytes,
    kind: str = "response",
    url: str = "https://example.org/",
    content: str = "application/http; msgtype=response",
) -> bytes:
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nContent-Type: {content}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body + b"\r\n\r\n"


def answer(
    body: bytes | str = PAGE, status: str = "200 OK", *headers: str, kind: str = "text/html; charset=utf-8"
) -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers))
    return head.encode() + b"\r\n\r\n" + (body.encode() if isinstance(body, str) else body)


INFO = record(b"software: test\r\n", "warcinfo", "", "application/warc-fields")
FOUND = Document("web", "A & B", "https://example.org/", [SENTENCE])


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "one member a record"])
def test_pages_that_were_found_become_documents_and_nothing_else(tmp_path: Path, compress: type) -> None:
    records = [
        INFO,
        record(b"GET / HTTP/1.1\r\n\r\n", "request"),
        record(answer()),
        record(answer(status="301 Moved")),
        record(answer(kind="image/png")),
        record(PAGE.encode(), "resource", content="text/html"),
    ]
    file = written(
        tmp_path / "a.warc.gz" if compress is not bytes else tmp_path / "a.warc", b"".join(map(compress, records))
    )
    assert read(file) == [FOUND, FOUND]


def test_extracted_text_is_read_by_lines(tmp_path: Path) -> None:
    file = written(tmp_path / "a.wet", INFO + record("Eins.\n\nZwei ß.".encode(), "conversion", content="text/plain"))
    assert read(file) == [Document("web", "https://example.org/", "https://example.org/", ["Eins.", "Zwei ß."])]


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (gzip.compress(PAGE.encode()), "Content-Encoding: gzip"),
        (zlib.compress(PAGE.encode()), "Content-Encoding: deflate"),
        (b"%x\r\n%s\r\n%x;x\r\n%s\r\n0\r\n\r\n" % (9, PAGE[:9].encode(), len(PAGE) - 9, PAGE[9:].encode()), "Transfer-Encoding: chunked"),
        (PAGE.encode(), "Transfer-Encoding: chunked"),
    ],
    ids=["gzip", "deflate", "chunked", "joined already"],
)  # fmt: skip
def test_what_a_server_did_to_a_page_is_undone(tmp_path: Path, body: bytes, header: str) -> None:
    assert read(written(tmp_path / "a.warc", record(answer(body, "200 OK", header)))) == [FOUND]


@pytest.mark.parametrize(
    ("body", "header", "reason"),
    [
        (b"damaged" * 9, "Content-Encoding: gzip", "its body cannot be decoded (Error -3"),
        (b"x", "Content-Encoding: br", "its body cannot be decoded (packed as br"),
        (gzip.compress(bytes(17 << 20)), "Content-Encoding: gzip", "its body cannot be decoded (unpacked it is longer than 16 MB)"),
        (b"", "X: y", "not HTML"),
        (b" " * (17 << 20), "X: y", "longer than 16 MB"),
    ],
    ids=["damaged", "brotli", "bomb", "empty", "long"],
)  # fmt: skip
def test_only_the_page_that_cannot_be_read_is_skipped(tmp_path: Path, body: bytes, header: str, reason: str) -> None:
    first, bad, last = read(
        written(tmp_path / "a.warc", record(answer()) + record(answer(body, "200 OK", header)) + record(answer()))
    )
    assert first == last == FOUND
    assert isinstance(bad, Skipped)
    assert bad.where == f"record at byte {len(record(answer()))} (https://example.org/)"
    assert bad.reason.startswith(reason)


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (PAGE.replace("page", "café").encode("latin-1"), "text/html; charset=ISO-8859-1"),
        (PAGE.replace("page", "café").encode(), "text/html"),
        (PAGE.replace("page", "café").encode("cp1252"), "text/html"),
        (PAGE.replace("<title>", "<meta charset='iso-8859-15'><title>").replace("page", "café").encode("iso-8859-15"), "text/html"),
        (PAGE.replace("page", "café").encode(), "text/html; charset=nonsense"),
    ],
)  # fmt: skip
def test_pages_of_every_encoding_are_read(tmp_path: Path, page: bytes, kind: str) -> None:
    (document,) = read(written(tmp_path / "a.warc", record(answer(page, kind=kind))))
    assert isinstance(document, Document)
    assert document.paragraphs == [SENTENCE.replace("page", "café")]


def test_a_folder_of_pages_is_found_and_read(tmp_path: Path) -> None:
    written(tmp_path / "a.html", PAGE.encode())
    written(tmp_path / "b.htm.gz", gzip.compress(b"<p>" + SENTENCE.encode()))
    assert [read(file) for file in SOURCES["warc"].find(tmp_path, "train")] == [
        [Document("web", "A & B", "", [SENTENCE])],
        [Document("web", "b.htm.gz", "", [SENTENCE])],
    ]
    with pytest.raises(ConfigError, match="no such file or folder"):
        SOURCES["warc"].find(tmp_path / "none", "train")


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_an_archive_cut_anywhere_is_an_error_or_gives_a_clean_prefix(tmp_path: Path, name: str) -> None:
    data = b"".join(map(gzip.compress if name.endswith("gz") else bytes, [record(answer())] * 3))
    borders = (
        {len(data) * n // 3 for n in range(4)}
        if name.endswith("gz")
        else {len(record(answer())) * n - m for n in range(4) for m in range(5)}
    )
    for size in range(1, len(data), 7):
        file = written(tmp_path / name, data[:size])
        documents = read(file, truncated="keep")
        kept = [document for document in documents if isinstance(document, Document)]
        assert kept == [FOUND] * len(kept)
        if len(documents) == len(kept):
            assert size in borders
            continue
        with pytest.raises(DataError, match=rf"{name}: cut at byte \d+"):
            read(file)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (record(answer()) + b"garbage\r\n", r"no WARC record at byte \d+ \(b'garbage"),
        (record(answer()).replace(b"Content-Length", b"Length"), "the WARC record at byte 0 has no Content-Length"),
    ],
)
def test_what_is_no_archive_is_an_error(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(written(tmp_path / "a.warc", data))


@pytest.mark.parametrize(
    ("page", "paragraphs"),
    [
        (f"<p>{SENTENCE}<p>{SENTENCE} <b>Bold</b><br>line.", [SENTENCE, f"{SENTENCE} Bold line."]),
        (f"<div>{SENTENCE}<br><br>\n{SENTENCE}</div>", [SENTENCE, SENTENCE]),
        (
            f"<nav>{SENTENCE}</nav><h1>Head of it all</h1>{SENTENCE}<script>if (a < b) x();</script><footer>Me.</footer>",
            [SENTENCE],
        ),
        (f"<ul><li><a href=x>{SENTENCE}</a></li></ul><p>{SENTENCE} <a href=y>Link.</a></p>", [f"{SENTENCE} Link."]),
        (f"<table><tr><td>Label</td><td>{SENTENCE}</td></tr></table>", [SENTENCE]),
        (f"<!-- no --><p>{SENTENCE} 5 &lt; 6 &eacute;.</p>", [f"{SENTENCE} 5 < 6 é."]),
        ("<div>" * 20_000 + SENTENCE, []),
    ],
)
def test_of_a_page_its_sentences_are_kept(page: str, paragraphs: list[str]) -> None:
    found = prose(page)
    assert found is not None
    assert found.paragraphs == paragraphs


def test_what_is_left_out_of_a_page_is_counted() -> None:
    found = prose(f"<h1>Head</h1><div>Label</div><p><a href=x>{SENTENCE}</a></p><p>{SENTENCE}</p>")
    assert found is not None
    assert found.left_out == {"headings": 1, "labels": 1, "menus": 1}


HTML = st.lists(st.sampled_from(["<p>", "</p>", "<a>", "</a>", "<br>", "<div", ">", "&#0;", "&amp", "\0", "\ud800", "<nav>", "word. ", "<!--", "<![CDATA[", "<?xml", "'"]), max_size=40)  # fmt: skip


@given(HTML.map("".join))
def test_no_page_makes_it_fail(page: str) -> None:
    found = prose(page)
    assert found is None or all(text == " ".join(text.split()) for text in found.paragraphs)


@given(data=st.binary(max_size=200), cut=st.integers(0, 400))
def test_no_bytes_raise_anything_but_a_data_error(
    data: bytes, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = record(answer())
    with suppress(DataError):
        read(written(tmp_path_factory.mktemp("web") / "a.warc", whole[:cut] + data + whole[cut:]))


@pytest.mark.parametrize(
    "label",
    [
        "punycode",
        "idna",
        "unicode_escape",
        "raw-unicode-escape",
        "utf-7",
        "undefined",
        "hex",
        "rot13",
        "zlib",
        "utf-32",
    ],
)
def test_what_is_no_encoding_of_the_web_is_taken_for_none(tmp_path: Path, label: str) -> None:
    page = PAGE.replace("page", "café \\u0041 +ZeVnLA-")
    found = read(written(tmp_path / "a.warc", record(answer(page, kind=f"text/html; charset={label}"))))
    assert found == read(written(tmp_path / "b.warc", record(answer(page))))


@pytest.mark.parametrize(
    ("label", "codec", "word"),
    [
        ("ISO-8859-1", "cp1252", "don’t"),
        ("us-ascii", "cp1252", "“café”"),
        ("windows-1251", "cp1251", "слово"),
        ("koi8-r", "koi8-r", "слово"),
        ("gb2312", "gbk", "词語"),
        ("Shift_JIS", "cp932", "言葉①"),
        ("x-sjis", "cp932", "言葉"),
        ("EUC-KR", "cp949", "낱말똠"),
        ("Big5", "big5", "語詞"),
        ("TIS-620", "cp874", "คำ…"),
        ("UTF-16LE", "utf-16-le", "mot"),
    ],
)
def test_pages_are_read_in_the_encoding_that_browsers_take_their_label_for(
    tmp_path: Path, label: str, codec: str, word: str
) -> None:
    page = PAGE.replace("page", word).encode(codec)
    (document,) = read(written(tmp_path / "a.warc", record(answer(page, kind=f"text/html; charset={label}"))))
    assert isinstance(document, Document)
    assert document.paragraphs == [SENTENCE.replace("page", word)]


@pytest.mark.parametrize("length", ["²", "-1", "+9", "1_0", "9" * 5000, "", "0x10"])
def test_a_length_that_is_no_number_is_an_error(tmp_path: Path, length: str) -> None:
    whole = record(answer()).replace(
        f"Content-Length: {len(answer())}".encode(), f"Content-Length: {length}".encode(), 1
    )
    with pytest.raises(DataError, match=r"the WARC record at byte 0 has no Content-Length that is a number \('"):
        read(written(tmp_path / "a.warc", whole))


@pytest.mark.parametrize(
    "tag",
    [
        " ".join(f"a{n}" for n in range(9000)),
        "/".join(f"a{n}" for n in range(9000)),
        "".join(f"a{n}='>'" for n in range(9000)),
        'x=">" ' + " ".join(f"a{n}=<" for n in range(9000)),
        'x="' + " ".join(f"a{n}" for n in range(9000)),
    ],
)
def test_a_tag_of_thousands_of_attributes_is_not_shown_to_the_parser(tmp_path: Path, tag: str) -> None:
    (found,) = read(written(tmp_path / "a.html", f"<p {tag}>{SENTENCE}</p>".encode()))
    assert found == Skipped("a.html", "a tag with more than 500 attributes, at most so many are read")


def test_a_tag_with_long_values_is_read(tmp_path: Path) -> None:
    page = f"<img src='data:image/png;base64,{'A b/' * 9000}' alt=\"{'one > two ' * 900}\"><p>{SENTENCE}</p>"
    (found,) = read(written(tmp_path / "a.html", page.encode()))
    assert isinstance(found, Document)
    assert found.paragraphs == [SENTENCE]
