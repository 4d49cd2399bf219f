import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.text.sources.wikitext import prose


@contextmanager
def frames_left(count: int) -> Iterator[None]:
    """Let the interpreter run out of stack soon: the parser itself refuses nothing we know of."""
    limit, depth, frame = sys.getrecursionlimit(), 0, sys._getframe()
    while frame.f_back:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(depth + count)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("wikitext", "paragraphs"),
    [
        ("'''Rome''' is ''the'' [[capital city|capital]] of [[Italy]].", ["Rome is the capital of Italy."]),
        ("The '''dog''''s ''b''one and [[cat]]s.", ["The dog's bone and cats."]),
        ("One line\ngoes on.\n\nTwo.", ["One line goes on.", "Two."]),
        ("Before.\n== Heading ==\nAfter.\n=== ''Other'' ===\nEnd.", ["Before.", "After.", "End."]),
        ('Fact.<ref name="a/b">{{cite web|title=T}} x</ref> More.<ref name=c /> End.', ["Fact. More. End."]),
        ("A.\n{| class=wikitable\n|-\n! H\n| cell || [[x]]\n{|\n|nested\n|}\n|}\nB.", ["A.", "B."]),
        ("A <math>x^2</math> b<gallery>\nFile:X.jpg|caption\n</gallery> c.", ["A b c."]),
        ("A<!-- no\n[[File:x]] --> b.<!-- unclosed", ["A b."]),
        ("One\n<!-- a line of its own -->\nparagraph.", ["One paragraph."]),
        ("[[File:A.jpg|thumb|left|A [[caption]] {{x}}.]]Text.", ["Text."]),
        (
            "[[Image:A.jpg|thumb|x]]\nText.\n[[Category:Foo|Bar]]\n[[de:Rom]]\n[[zh-min-nan:Rom]]\n[[simple:Rome]]",
            ["Text."],
        ),
        (
            "See [[:Category:Foo]], [[:de:Rom|German]], [[wikt:cat|cat]], [[Special:Search]].",
            ["See Category:Foo, German, cat, Special:Search."],
        ),
        ("[[Datei:A.svg|mini|Bild]]Text.", ["Text."]),
        ("{{Infobox\n| a = {{b|[[c]]}}\n}}\n'''X''' is.", ["X is."]),
        ("A&nbsp;b &lt; c &amp;lt; d&thinsp;e &#8211; f&#x2060;g.", ["A b < c &lt; d e – fg."]),
        ("See [http://a.org the site], [http://a.org] and http://b.org now.", ["See the site, and http://b.org now."]),
        (
            "H<sub>2</sub>O, <small>small</small> <span style='x'>span</span><br/>line <nowiki>[[raw]]</nowiki>.",
            ["H2O, small span line raw."],
        ),
        ("A.<blockquote>Quoted words.</blockquote>B.", ["A.", "Quoted words.", "B."]),
        ("A.\n----\nB. __NOTOC__ {{{1|x}}}", ["A.", "B."]),
    ],
)
def test_what_a_reader_reads_is_kept_and_nothing_else(wikitext: str, paragraphs: list[str]) -> None:
    assert prose(wikitext) == paragraphs


@pytest.mark.parametrize(
    ("wikitext", "mended"),
    [
        ("'''A''' ({{IPA|x}}, {{lang-el|y}}; born 1950) is.", "A (born 1950) is."),
        ("A ({{IPA|x}}) is, {{x}}, b {{y}} .", "A is, b."),
        ("A (1950, {{x}}; ) b ( {{x}} – {{y}} ) c.", "A (1950) b c."),
        ("A ((({{x}}))) b [{{y}}].", "A b."),
        ("{{x}}, the town is.", "the town is."),
        ("At (–5 °C) main() and a[] (.NET) ... stay.", "At (–5 °C) main() and a[] (.NET) ... stay."),
    ],
)
def test_sentences_are_mended_where_templates_vanished(wikitext: str, mended: str) -> None:
    assert prose(wikitext) == [mended]


def test_templates_that_stand_for_words_are_spoken() -> None:
    assert prose("It is {{convert|5|km|mi}} or {{convert|3|to|4|m}} long ({{lang|fr|''long''}}, {{nowrap|1 m}}).") == [
        "It is 5 km or 3 to 4 m long (long, 1 m)."
    ]
    assert prose("He said:\n{{quote|I [[think]].|Him}}\nSo.") == ["He said:", "I think.", "So."]


def test_list_items_are_paragraphs_only_where_they_look_like_sentences() -> None:
    items = "* [[One]]\n* Two words.\n** This item is a sentence.\n# Is this one too?\n; Term : This defines it in full.\n: indented"
    books = "* Smith, John. A Book of Names. Publisher, 1999. ISBN 0-1234-5678-9."
    assert prose(f"A list:\n{items}\n{books}\n<ul><li>An item in HTML, too.</li></ul>\nAfter.") == [
        "A list:",
        "This item is a sentence.",
        "Is this one too?",
        "This defines it in full.",
        "An item in HTML, too.",
        "After.",
    ]


def test_a_wiki_names_pictures_and_categories_in_its_own_language() -> None:
    wikitext = "[[Fails:bez gola]]Teksts.\n[[Kategoreja:Latgola]]"
    assert prose(wikitext, frozenset({"fails", "kategoreja"})) == ["Teksts."]
    assert prose(wikitext) == ["Fails:bez golaTeksts. Kategoreja:Latgola"]


@pytest.mark.parametrize(
    "wikitext",
    [
        "",
        "{{x",
        "[[a|b",
        "[[File:x|thumb",
        "{|\n| cell",
        "<ref>x",
        "]] }} |}",
        "''",
        "1 2 3",
        "|}",
        "<tr><td>x",
        " == indented heading ==",
    ],
)
def test_broken_wikitext_leaves_no_markup(wikitext: str) -> None:
    assert not set("".join(prose(wikitext))) & set("{}[]<>|='")


def test_wikitext_that_cannot_be_parsed_is_an_error() -> None:
    nested = "<div>" * 30 + "x" + "</div>" * 30
    assert prose(nested) == ["x"]
    with frames_left(60), pytest.raises(DataError, match=r"the wikitext cannot be parsed \(.*recursion"):
        prose(nested)


MARKUP = st.sampled_from([
    "[[", "]]", "{{", "}}", "{|", "|}", "|", "\n", "=", "==", "<ref>", "</ref>", "<div>", "<!--", "-->", "*", ":", ";", "''", "'''",
    "&", "&amp;", "&#x110000;", "http://", " ", "a", "[", "]", "File:", "(", ")", ",", "<br", "/>", "{{{", "}}}", "----", "<td>",
])  # fmt: skip


@given(st.lists(MARKUP, max_size=60).map("".join))
def test_no_wikitext_makes_it_fail_or_leaves_open_debris(wikitext: str) -> None:
    for paragraph in prose(wikitext):
        assert paragraph == " ".join(paragraph.split())
        assert any(character.isalpha() for character in paragraph)
        assert "( )" not in paragraph
        assert ", ," not in paragraph
