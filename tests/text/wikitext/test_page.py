import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.text.wikitext import ListItems, prose


def read(wikitext: str, hidden: frozenset[str] = frozenset()) -> list[str]:
    return prose(wikitext, hidden=hidden).paragraphs


@pytest.mark.parametrize(
    ("wikitext", "paragraphs"),
    [
        ("'''Rome''' is ''the'' [[capital city|capital]] of [[Italy]].", ["Rome is the capital of Italy."]),
        ("The '''dog''''s ''b''one and [[cat]]s.", ["The dog's bone and cats."]),
        ("One line\ngoes on.\n\nTwo.", ["One line goes on.", "Two."]),
        ("Before.\n== Heading ==\nAfter.\n=== ''Other'' ===\nEnd.", ["Before.", "After.", "End."]),
        ('Fact.<ref name="a/b">{{cite web|title=T}} x</ref> More.<ref name=c /> End.', ["Fact. More. End."]),
        ("A fact.<ref>{{cite web|url=http://x.org}}\nMore.<ref>b</ref> End.", ["A fact. More. End."]),
        ("A.\n{| class=wikitable\n|-\n! H\n| cell || [[x]]\n{|\n|nested\n|}\n|}\nB.", ["A.", "B."]),
        ("A<math>\\frac{x}{2}</math>. Let <math>x</math> be <math>n^{2}</math>.", ["Let x be n²."]),
        ("A b<gallery>\nFile:X.jpg|caption\n</gallery> c.", ["A b c."]),
        ("A<!-- no\n[[File:x]] --> b.<!-- unclosed", ["A b."]),
        ("One\n<!-- a line of its own -->\nparagraph.", ["One paragraph."]),
        ("[[File:A.jpg|thumb|left|A [[caption]] {{x}}.]]Text.", ["Text."]),
        ("[[Image:A.jpg|thumb|x]]\nText.\n[[Category:Foo|Bar]]\n[[de:Rom]]\n[[zh-min-nan:Rom]]\n[[simple:Rome]]", ["Text."]),
        (
            "See [[:Category:Foo]], [[:de:Rom|German]], [[wikt:cat|cat]], [[Special:Search]].",
            ["See Category:Foo, German, cat, Special:Search."],
        ),
        ("[[Datei:A.svg|mini|Bild]]Text. [[Rome (city)|]].", ["Text. Rome."]),
        ("{{Infobox\n| a = {{b|[[c]]}}\n}}\n'''X''' is.", ["X is."]),
        ("A&nbsp;b &lt; c &amp;lt; d &#8211; e.", ["A b < c &lt; d – e."]),
        ("See [http://a.org the [old] site], [http://a.org] and http://b.org now.", ["See the [old] site, and http://b.org now."]),
        ("H<sub>2</sub>O, 10<sup>6</sup> m<sup>2</sup>, <span style='x'>span</span><br/>line.", ["H2O, 10⁶ m², span line."]),
        ("Type <nowiki>[[raw]] ''x''</nowiki> here, call <code>printf</code>.", ["Type [[raw]] ''x'' here, call printf."]),
        ("A.<syntaxhighlight lang=c>\nint main() {}\n</syntaxhighlight>B.", ["A.", "B."]),
        ("A.<blockquote>Quoted words.</blockquote>B.", ["A.", "Quoted words.", "B."]),
        ("A.\n----\nB. __NOTOC__ {{{1|x}}}", ["A.", "B."]),
    ],
)  # fmt: skip
def test_what_a_reader_reads_is_kept_and_nothing_else(wikitext: str, paragraphs: list[str]) -> None:
    assert read(wikitext) == paragraphs


@pytest.mark.parametrize(
    ("wikitext", "mended"),
    [
        ("'''A''' ({{IPA|x}}, {{lang-el|y}}; born 1950) is.", "A (Greek: y; born 1950) is."),
        ("'''A''' (pronounced {{IPA-fr|x}}, born 1950) is.", "A (born 1950) is."),
        ("A ({{IPA|x}}) is, {{x}}, b {{y}} .", "A is, b."),
        ("A (1950, {{x}}; ) b ( {{x}} – {{y}} ) c.", "A (1950) b c."),
        ("A ((({{x}}))) b [{{y}}].", "A b."),
        ("{{x}}, the town is.", "the town is."),
        ("It rose. At {{unknown|5}}, Alabama has hills. It fell.", "It rose. It fell."),
        ("A tax of 3 percent (${{Inflation|US|800}} today) came.", "A tax of 3 percent came."),
        ("At (–5 °C) main() and a[] (.NET) ... stay.", "At (–5 °C) main() and a[] (.NET) ... stay."),
    ],
)
def test_sentences_are_mended_or_dropped_where_templates_vanished(wikitext: str, mended: str) -> None:
    assert read(wikitext) == [mended]


def test_what_is_left_out_is_counted_by_kind() -> None:
    wikitext = "A.<ref>x</ref> {{cn}}\n{|\n|}\n[[File:x.jpg]] [[Category:c]] [[de:x]]<!-- c --><math>\\sum</math>\n* x\n== H ==\nAt {{x}}."
    assert prose(wikitext).left_out == {
        "references": 1, "templates": 2, "tables": 1, "images": 1, "categories": 1, "interwiki links": 1, "comments": 1, "math": 1,
        "lists": 1, "headings": 1, "broken sentences": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("list_items", "items"),
    [
        ("sentences", ["This item is a sentence.", "Is this one too?", "This defines it in full.", "An item in HTML, too."]),
        ("all", ["One", "Two words.", "This item is a sentence.", "Is this one too?", "This defines it in full.", "indented", "An item in HTML, too."]),
        ("none", []),
    ],
)  # fmt: skip
def test_list_items_are_kept_as_the_recipe_says(list_items: ListItems, items: list[str]) -> None:
    wikitext = "A list:\n* [[One]]\n* Two words.\n** This item is a sentence.\n# Is this one too?\n; Term : This defines it in full.\n: indented"
    wikitext += "\n<ul><li>An item in HTML, too.</li></ul>\nAfter."
    assert prose(wikitext, list_items=list_items).paragraphs == ["A list:", *items, "After."]


def test_hatnotes_written_by_hand_are_no_prose() -> None:
    assert read(":''See also the article about [[Rome]] itself.''\nText.") == ["Text."]


def test_a_wiki_names_pictures_and_categories_in_its_own_language() -> None:
    wikitext = "[[Fails:bez gola]]Teksts.\n[[Kategoreja:Latgola]]"
    assert read(wikitext, hidden=frozenset({"fails", "kategoreja"})) == ["Teksts."]
    assert read(wikitext) == ["Fails:bez golaTeksts. Kategoreja:Latgola"]


def test_a_page_that_was_escaped_twice_is_read_as_if_escaped_once() -> None:
    assert read("A fact.&lt;ref name=&quot;x&quot;&gt;note&lt;/ref&gt; It &amp;lt; b.") == ["A fact. It < b."]


BROKEN = [
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
    " == indented ==",
    "{cite web |url=x}}",
]


@pytest.mark.parametrize("wikitext", BROKEN)
def test_broken_wikitext_leaves_no_markup(wikitext: str) -> None:
    assert not set("".join(read(wikitext))) & set("{}[]<>|='")


LEVELS = 10_000
PAIRS = [
    ("{{a|", "}}"),
    ("{{nowrap|", "}}"),
    ("[[File:a|", "]]"),
    ("\n{|\n|", "\n|}"),
    ("<table>", "</table>"),
    ("{{{", "}}}"),
    ("<ref>", "</ref>"),
]


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_ten_thousand_levels_hide_nothing_around_them(opening: str, closing: str) -> None:
    paragraphs = read(f"A word. {opening * LEVELS} in {closing * LEVELS} and an end.")
    assert " ".join(paragraphs).split() == ["A", "word.", "and", "an", "end."]


RUNS = [
    "{{", "}}", "[[", "]]", "<ref>", "<ref", "''", "=", "\n{|", "\n|}", "|", "{{{", "[[File:a|", "<!--", "<math>", "<nowiki>", "(", "( ", ")", " ,", ", ",
    ";;", "&", "[http://a ", "[http://a [b] ", "\n*", "\n== a ", "<div ", "{a|", "[a|", "the {{x}}, ", "( {{x}} ", "{{a|b=", "\x00", "\ud800", " ==a",
]  # fmt: skip


@pytest.mark.parametrize("run", RUNS)
def test_a_hundred_thousand_delimiters_take_no_longer_than_their_number(run: str) -> None:
    """Quadratic time would pass the limit of the test."""
    assert len("".join(read(run * 100_000))) <= len(run) * 100_000


MARKUP = st.sampled_from([
    "[[", "]]", "{{", "}}", "{|", "|}", "|", "\n", "=", "==", "<ref>", "</ref>", "<div>", "<!--", "-->", "*", ":", ";", "''", "'''",
    "&", "&amp;", "&#x110000;", "http://", " ", "a", "[", "]", "File:", "(", ")", ",", "<br", "/>", "{{{", "}}}", "----", "<td>",
    "convert|", "birth date|", "1", "2000", "<math>", "</math>", "<nowiki>", "</nowiki>", "\x00", "\x02", "\ud800", "val|", "1/2", "-", "ft|", "in",
])  # fmt: skip


@given(st.lists(MARKUP, max_size=60).map("".join))
def test_no_wikitext_makes_it_fail_or_leaves_debris(wikitext: str) -> None:
    assert prose(wikitext) == prose(wikitext)
    for paragraph in read(wikitext):
        assert any(character.isalpha() for character in paragraph)
        assert "( )" not in paragraph
        assert not set("\x02\x03") & set(paragraph)


LEAF = st.sampled_from(
    [
        "A word.",
        "five km",
        "the",
        "[[link]]",
        "[[a|b c]]",
        "''it''",
        "{{convert|5|km|mi}}",
        "{{zzz|x}}",
        "<ref>n</ref>",
        "<b>x</b>",
        ", ",
        " ",
    ]
)
BALANCED = st.recursive(
    LEAF,
    lambda inner: st.tuples(st.sampled_from([("{{nowrap|", "}}"), ("{{zzz|", "}}"), ("[[File:a.jpg|", "]]"), ("<small>", "</small>"), ("'''", "'''"), ("\n{|\n|", "\n|}\n")]), st.lists(inner, max_size=4).map("".join))
    .map(lambda pair: pair[0][0] + pair[1] + pair[0][1]),
)  # fmt: skip


@given(st.lists(BALANCED, max_size=8).map(" ".join))
@example("A word. ''''''{{zzz|x}}''''''")
def test_balanced_markup_leaves_no_bracket_and_no_tag(wikitext: str) -> None:
    text = "\n".join(read(wikitext))
    assert not re.search(r"[{}\[\]|<>]|''", text)


@given(st.text(string.ascii_letters + string.digits + " .,", max_size=200))
def test_plain_prose_stays_as_it_is_once_read(plain: str) -> None:
    once = read(plain)
    assert [paragraph for before in once for paragraph in read(before)] == once
