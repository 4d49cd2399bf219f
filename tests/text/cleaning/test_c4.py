from collections.abc import Callable

import pytest

from pipeline.text.cleaning import STEPS, Drops, Settings
from pipeline.text.sources.document import Document

MakeDocument = Callable[..., Document]
LINES = ["The cat sat on the mat.", "Was it a warm mat?", "“It was a warm mat!”"]


def run(document: Document) -> tuple[list[Document], Drops]:
    drops = Drops()
    return list(STEPS["c4_quality"].run(iter([document]), Settings(), drops)), drops


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("lines without terminal punctuation", "Read more about cats and mats"),
        ("lines without terminal punctuation", "The cat sat on the ..."),
        ("lines shorter than 5 words", "The cat sat there."),
        ("lines that name javascript", "Please enable JavaScript to see this page."),
        ("lines about policies", "By reading you accept our Privacy Policy."),
        ("lines about policies", "This site uses cookies to serve you."),
    ],
)
def test_a_line_that_breaks_a_rule_is_dropped_and_counted(document: MakeDocument, rule: str, line: str) -> None:
    page = document(LINES[0], line, *LINES[1:])._replace(left_out={rule: 2, "tables": 1})
    assert run(page) == ([document(*LINES)._replace(left_out={rule: 3, "tables": 1})], {})


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("curly bracket", "if (cat) { sit(mat)"),
        ("lorem ipsum", "Lorem Ipsum dolor sit amet"),
        (None, "A cat on terms."),
    ],
)
def test_a_page_of_code_or_placeholder_is_left_out(document: MakeDocument, reason: str | None, line: str) -> None:
    kept, drops = run(document(*LINES, line))
    assert (bool(kept), list(drops)) == ((False, [("c4_quality", reason)]) if reason else (True, []))


def test_a_page_of_less_than_three_sentences_is_left_out(document: MakeDocument) -> None:
    assert run(document(*LINES[:2])) == ([], {("c4_quality", "fewer than 3 sentences"): 1})
    assert run(document(" ".join(LINES)))[0]


def test_citation_marks_go(document: MakeDocument) -> None:
    ((kept,), _) = run(document("The cat sat[1] on the mat.[citation needed] Was it a cat [sic]? It was."))
    assert kept.paragraphs == ["The cat sat on the mat. Was it a cat [sic]? It was."]
