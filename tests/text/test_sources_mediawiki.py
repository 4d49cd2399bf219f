import bz2
import gzip
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.text.sources import SOURCES, Document, Reading, Skipped, files
from pipeline.text.sources.document import Span, uncut
from pipeline.text.sources.errors import CutError
from pipeline.text.sources.mediawiki import elements

WIKIPEDIA = SOURCES["wikipedia"]
KEEP = Reading("wiki", truncated="keep")
HEAD = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">\n<siteinfo><base>https://a.org/wiki/M</base></siteinfo>\n'
MULTI = "enwiki-multistream-derived/enwiki-pages-articles-multistream.xml.bz2"
SINGLE = "enwiki-gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"

Page = tuple[str, str]


def page(title: str, text: str) -> str:
    return f"<page><title>{title}</title><ns>0</ns><revision><text>{text}</text></revision></page>\n"


def stream(path: Path, spans: list[Span]) -> Iterator[Page]:
    for span in spans:
        for element in elements(path, span):
            if element.tag.endswith("page"):
                yield element.findtext("{*}title") or "", element.findtext("{*}revision/{*}text") or ""


def pages(path: Path, spans: list[Span] | None = None) -> list[Page]:
    return list(stream(path, spans or uncut(path)))


def pages_until_cut(path: Path) -> tuple[list[Page], CutError | None]:
    found: list[Page] = []
    try:
        found.extend(stream(path, uncut(path)))
    except CutError as error:
        return found, error
    return found, None


def files_of(file: Path, out: Path) -> list[tuple[Path, list[Span]]]:
    """List the spans of a file, or of those it must be unpacked to."""
    if spans := WIKIPEDIA.cut(file):
        return [(file, spans)]
    assert WIKIPEDIA.unpack
    out.mkdir()
    WIKIPEDIA.unpack(file, out)
    return [(chunk, uncut(chunk)) for chunk in sorted(out.iterdir())]


def pages_of_all(file: Path, out: Path) -> list[Page]:
    return [found for part, spans in files_of(file, out) for found in pages(part, spans)]


def documents_of_all(file: Path, out: Path, reading: Reading) -> list[Document | Skipped]:
    return [
        found for part, spans in files_of(file, out) for span in spans for found in WIKIPEDIA.read(part, span, reading)
    ]


def streams(data: bytes, parts: int) -> bytes:
    """Compress in parts of equal length, as pbzip2 does, wherever pages end."""
    step = -(-len(data) // parts)
    return b"".join(bz2.compress(data[at : at + step]) for at in range(0, len(data), step))


def in_stream_order(data: bytes) -> bytes:
    """Compress as Wikimedia does: the head, pages by tens, the closing tag."""
    begins = [match.start() for match in re.finditer(rb"\s*<page>", data)][::10]
    end = data.rindex(b"</mediawiki>")
    return b"".join(bz2.compress(data[a:b]) for a, b in zip([0, *begins, end], [*begins, end, len(data)], strict=True))


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "w.xml": bytes,
    "w.xml.gz": gzip.compress,
    "w.xml.bz2": bz2.compress,
    "multistream.xml.bz2": in_stream_order,
    "pbzip2.xml.bz2": lambda data: streams(data, 9),
}


@pytest.fixture(scope="module")
def japanese(shared_data: Path) -> bytes:
    return bz2.decompress((shared_data / "wikipedia/japanese-architects-2009/japanese_architects.xml.bz2").read_bytes())


@pytest.fixture(scope="module")
def small(japanese: bytes) -> bytes:
    """A real dump of twelve pages, 30 kB, articles among them."""
    begins = [match.start() for match in re.finditer(rb"\s*<page>", japanese)]
    return japanese[: begins[12]] + b"\n</mediawiki>\n"


def test_every_way_to_cut_a_multistream_dump_gives_the_pages_of_the_single_stream(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    multi = shared_data / "wikipedia" / MULTI
    whole = pages(shared_data / "wikipedia" / SINGLE)
    assert len(whole) == 206
    counts = []
    for step in (1 << 10, 1 << 19):
        monkeypatch.setattr(files, "COMPRESSED_SPAN_BYTES", step)
        spans = WIKIPEDIA.cut(multi)
        counts.append(len(spans))
        assert pages(multi, spans) == whole
    assert counts == [3, 2]


def test_a_single_stream_is_unpacked_to_the_same_pages(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = shared_data / "wikipedia" / SINGLE
    assert WIKIPEDIA.cut(single) == []
    assert WIKIPEDIA.unpack
    WIKIPEDIA.unpack(single, tmp_path)
    chunks = sorted(tmp_path.iterdir())
    assert len(chunks) == 3
    assert [found for chunk in chunks for found in pages(chunk)] == pages(single)


@pytest.mark.parametrize("step", [1, 3000, 20_000, 100_000, 10_000_000])
@pytest.mark.parametrize("form", FORMS)
def test_the_spans_of_a_real_dump_together_hold_each_page_once(
    japanese: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, step: int
) -> None:
    file = tmp_path / form
    file.write_bytes(FORMS[form](japanese))
    monkeypatch.setattr(files, "COMPRESSED_SPAN_BYTES", step)
    monkeypatch.setattr(files, "PLAIN_SPAN_BYTES", step)
    whole = tmp_path / "whole" / "w.xml"
    whole.parent.mkdir()
    whole.write_bytes(japanese)
    assert pages_of_all(file, tmp_path / "out") == pages(whole)


@settings(deadline=None)
@given(
    borders=st.lists(st.integers(1, 700), max_size=6, unique=True).map(sorted),
    last=st.sampled_from(["", "\n", "\n" * 90]),
)
def test_streams_may_end_anywhere_even_within_a_tag(
    tmp_path_factory: pytest.TempPathFactory, borders: list[int], last: str
) -> None:
    texts = [page(f"P{n}", "x" * (n * 30)) for n in range(4)]
    xml = (HEAD + "".join(texts) + "</mediawiki>" + last).encode()
    at = [0, *(border for border in borders if border < len(xml)), len(xml)]
    parts = [bz2.compress(xml[begin:end]) for begin, end in pairwise(at)]
    file = tmp_path_factory.getbasetemp() / "w.xml.bz2"
    file.write_bytes(b"".join(parts))
    ends = [sum(map(len, parts[: n + 1])) for n in range(len(parts))]
    spans = [Span(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
    assert pages(file, spans) == [(f"P{n}", "x" * (n * 30)) for n in range(4)]


@pytest.mark.parametrize("form", FORMS)
def test_a_real_dump_cut_anywhere_gives_a_clean_prefix_or_an_error(
    small: bytes, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = FORMS[form](small)
    whole, cut = tmp_path / f"whole-{form}", tmp_path / form
    whole.write_bytes(data)
    expected = list(WIKIPEDIA.read(whole, uncut(whole)[0], Reading("wiki")))
    assert len(expected) > 2
    lengths = []
    for size in range(0, len(data) - 20, 1000 if form == "w.xml" else 250):
        cut.write_bytes(data[:size])
        *documents, note = WIKIPEDIA.read(cut, uncut(cut)[0], KEEP)
        assert documents == expected[: len(documents)]
        assert isinstance(note, Skipped)
        assert note.where == f"byte {size}"
        lengths.append(len(documents))
        with pytest.raises(DataError, match=rf"{form}: cut at byte {size}, .*; download or copy it again, or keep"):
            list(WIKIPEDIA.read(cut, uncut(cut)[0], Reading("wiki")))
    assert lengths == sorted(lengths)
    assert lengths[-1] >= (0 if form in ("w.xml.bz2", "w.xml.gz") else 1)


@pytest.mark.parametrize("form", FORMS)
def test_every_thousandth_cut_of_a_whole_dump_keeps_the_pages_before_it(
    japanese: bytes, tmp_path: Path, form: str
) -> None:
    data = FORMS[form](japanese)
    expected = re.findall(rb"<title>(.*?)</title>", japanese)
    file = tmp_path / form
    for size in range(0, len(data), 1000):
        file.write_bytes(data[:size])
        found, error = pages_until_cut(file)
        assert error is not None
        assert error.byte == size
        if form == "w.xml":
            assert len(found) == data[:size].count(b"</page>")
        assert [title.encode() for title, _ in found] == [
            title.replace(b"&quot;", b'"').replace(b"&amp;", b"&") for title in expected[: len(found)]
        ]


@pytest.mark.parametrize("form", FORMS)
def test_the_spans_of_a_cut_dump_give_the_same_prefix_as_the_whole(
    small: bytes, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "COMPRESSED_SPAN_BYTES", 500)
    monkeypatch.setattr(files, "PLAIN_SPAN_BYTES", 3000)
    data = FORMS[form](small)
    file = tmp_path / form
    for size in range(100, len(data), len(data) // 7):
        file.write_bytes(data[:size])
        whole = list(WIKIPEDIA.read(file, uncut(file)[0], KEEP))
        parts = documents_of_all(file, tmp_path / f"out{size}", KEEP)
        assert [found for found in parts if isinstance(found, Document)] == whole[:-1]
        assert whole[-1] in parts
        with pytest.raises(DataError, match=rf"cut at byte {size},"):
            documents_of_all(file, tmp_path / f"again{size}", Reading("wiki"))


@settings(deadline=None)
@given(
    data=st.binary(max_size=300), where=st.integers(0, 40_000), form=st.sampled_from(sorted(FORMS)), over=st.booleans()
)
def test_a_damaged_dump_raises_nothing_but_what_a_user_can_mend(
    small: bytes, tmp_path_factory: pytest.TempPathFactory, data: bytes, where: int, form: str, over: bool
) -> None:
    whole = FORMS[form](re.sub(rb"(<text[^>]*>)[^<]*", rb"\1Short.", small))
    at = where % len(whole)
    damaged = whole[:at] + data + whole[at + len(data) * over :]
    file = tmp_path_factory.getbasetemp() / f"damaged-{form}"
    file.write_bytes(damaged)
    try:
        found = list(WIKIPEDIA.read(file, uncut(file)[0], KEEP))
        found += [document for span in WIKIPEDIA.cut(file) for document in WIKIPEDIA.read(file, span, KEEP)]
    except DataError as error:
        assert str(error).startswith(f"{file}: ")  # noqa: PT017 - most often there is none
    else:
        assert all(isinstance(document, Document | Skipped) for document in found)


@settings(deadline=None)
@given(data=st.binary(max_size=3000), name=st.sampled_from(["a.xml", "a.xml.gz", "a.xml.bz2"]), magic=st.booleans())
def test_random_bytes_are_an_error_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str, magic: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / name
    start = {".gz": b"\x1f\x8b\x08\0", ".bz2": b"BZh91AY&SY"}.get(file.suffix, b"<mediawiki>")
    file.write_bytes(start * magic + data)
    with pytest.raises(DataError, match=re.escape(str(file))):
        list(WIKIPEDIA.read(file, uncut(file)[0], Reading("wiki")))


@pytest.mark.parametrize("step", [1, 100])
def test_a_damaged_tag_between_two_pages_is_never_jumped_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(files, "PLAIN_SPAN_BYTES", step)
    file = tmp_path / "w.xml"
    xml = HEAD + "".join(page(f"P{n}", "text") for n in range(6)) + "</mediawiki>"
    damaged = xml.replace("<page><title>P3", "<pXge><title>P3")
    file.write_text(damaged)
    with pytest.raises(DataError, match=r"the XML is malformed in the pages that begin between bytes \d+ and \d+"):
        pages(file, WIKIPEDIA.cut(file))


READ_AND_WEIGH = """
import sys
from pathlib import Path
import resource
from pipeline.text.sources.mediawiki import elements
from pipeline.text.sources.document import uncut
path = Path(sys.argv[1])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
next(elements(Path(sys.argv[2]), uncut(Path(sys.argv[2]))[0]))
before = peak()
lengths = [len(element.findtext("{*}revision/{*}text")) for element in elements(path, uncut(path)[0])]
print(max(lengths), len(lengths), (peak() - before) // 1024)
"""


def weighed(file: Path) -> tuple[int, ...]:
    """Read a dump in a process of its own; give the longest text, the pages, and the memory it took in MB."""
    first = file.with_name("first.xml")
    first.write_text(f"<mediawiki>{page('P', 'text')}</mediawiki>")
    command = [sys.executable, "-c", READ_AND_WEIGH, str(file), str(first)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return tuple(map(int, run.stdout.split()))


def test_a_page_of_fifty_megabytes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "w.xml"
    file.write_text(
        "<mediawiki>" + page("Small", "a") + page("Large", "word " * 10_000_000) + page("Last", "z") + "</mediawiki>"
    )
    longest, count, grown_mb = weighed(file)
    assert (longest, count) == (50_000_000, 3)
    assert grown_mb < 300


def test_of_a_page_with_a_long_history_only_one_revision_is_held(tmp_path: Path) -> None:
    revision = f"<revision><text>{'word ' * 100_000}</text></revision>"
    file = tmp_path / "w.xml"
    file.write_text(
        f"<mediawiki><page><title>P</title>{revision * 200}<revision><text>Last.</text></revision></page></mediawiki>"
    )
    longest, count, grown_mb = weighed(file)  # 100 MB
    assert (longest, count) == (len("Last."), 1)
    assert grown_mb < 40


def test_a_page_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "RECORD_BYTES", 1 << 20)
    file = tmp_path / "w.xml"
    file.write_text("<mediawiki>" + page("Large", "word " * 1_000_000) + "</mediawiki>")
    with pytest.raises(DataError, match=r"w\.xml: 1 MB and \d+ tags without the end of a page, at most 1 MB and"):
        pages(file)
    (tmp_path / "w.xml.gz").write_bytes(gzip.compress(file.read_bytes()))
    assert WIKIPEDIA.unpack
    with pytest.raises(DataError, match=r"w\.xml\.gz: no page ends within 1 MB; split the file"):
        WIKIPEDIA.unpack(tmp_path / "w.xml.gz", tmp_path)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (b"<mediawiki><page " + b"a" * 2_000_000, "the XML is malformed: a tag of more than 1 MB"),
        (b"<mediawiki><page><!--" + b"a" * 2_000_000, "the XML is malformed: a tag of more than 1 MB"),
        (b"<mediawiki><page>" + b"<a>" * 100_000, r"the XML is malformed at line 1 \(Excessive depth"),
        (b"<mediawiki>" + b"<x/>" * 2_000_000, r"4 MB and 1\d{6} tags without the end of a page"),
        (b"<!--" + b"a" * 6_000_000, r"no XML \(it begins with b'<!--a"),
        (b" " * 6_000_000, r"no XML \(it begins with b''"),
    ],
)
def test_what_parsers_take_time_or_memory_for_is_refused(tmp_path: Path, xml: bytes, message: str) -> None:
    (tmp_path / "w.xml").write_bytes(xml)
    with pytest.raises(DataError, match=rf"w\.xml: {message}"):
        pages(tmp_path / "w.xml")


@pytest.mark.parametrize("step", [1, 1000, 10_000_000])
def test_dumps_without_siteinfo_or_without_a_page_can_be_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(files, "PLAIN_SPAN_BYTES", step)
    monkeypatch.setattr(files, "COMPRESSED_SPAN_BYTES", step)
    for texts in ([], [("P", "text")], [(f"P{n}", "text") for n in range(50)]):
        xml = "<mediawiki>\n" + "".join(page(*text) for text in texts) + "</mediawiki>"
        for form, compress in FORMS.items():
            file = tmp_path / form
            file.write_bytes(
                compress(xml.encode()) if texts or form != "multistream.xml.bz2" else bz2.compress(xml.encode())
            )
            assert pages_of_all(file, tmp_path / f"{form}{len(texts)}") == texts


def test_chunks_are_the_same_bytes_each_time(small: bytes, tmp_path: Path) -> None:
    assert WIKIPEDIA.unpack
    (tmp_path / "w.xml.gz").write_bytes(gzip.compress(small))
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        WIKIPEDIA.unpack(tmp_path / "w.xml.gz", tmp_path / name)
        made.append({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()})
    assert made[0] == made[1]
    assert made[0]
