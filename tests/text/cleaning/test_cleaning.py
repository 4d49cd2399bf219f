import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.clean import paragraphs
from pipeline.text.cleaning import STEPS, Drops, Settings, clean, normalised
from pipeline.text.sources.document import Document

SETTINGS = Settings(minimum_words=3)
PARAGRAPHS = st.lists(
    st.text(max_size=30)
    | st.lists(
        st.sampled_from(
            [
                *"aZ.!?…\"'”#•{}[]\n\r\t\0\ud800\udc00é\u0301\u200b",
                "the ",
                "of ",
                "and have ",
                "lorem ipsum ",
                "JavaScript ",
                "[12]",
                "Ã©",
            ]
        ),
        max_size=60,
    ).map("".join)
    | st.sampled_from(
        ["It was the best of times, and that was to be the end of it. " * 5, "No. ", "Das ist nicht gut. "]
    ),
    max_size=6,
)
DOCUMENTS = st.lists(PARAGRAPHS, max_size=5).map(
    lambda texts: [Document("test", str(at), "", list(text)) for at, text in enumerate(texts)]
)


def watched(documents: list[Document], taken: list[str]) -> Iterator[Document]:
    for document in documents:
        taken.append(document.title)
        yield document


@settings(deadline=None)  # the first document loads the models
@given(DOCUMENTS, st.lists(st.sampled_from(sorted(STEPS)), unique=True, max_size=4))
def test_every_document_comes_out_in_order_or_is_counted(documents: list[Document], names: list[str]) -> None:
    drops, taken, out = Drops(), list[str](), list[Document]()
    for document in clean(watched(documents, taken), names, SETTINGS, drops):
        out.append(document)
        assert document.title == taken[-1]  # it comes out before the next one is taken
        assert len(out) + drops.total() == len(taken)
    assert len(out) + drops.total() == len(taken) == len(documents)
    assert {step for step, _ in drops} <= set(names)


@settings(deadline=None)
@given(DOCUMENTS, st.sampled_from(sorted({*STEPS} - {"c4_quality"})))  # which takes out marks that may stand in marks
def test_a_step_that_has_run_changes_nothing_more(documents: list[Document], name: str) -> None:
    once = list(STEPS[name].run(iter(documents), SETTINGS, Drops()))
    drops = Drops()
    assert [document.paragraphs for document in STEPS[name].run(iter(once), SETTINGS, drops)] == [
        document.paragraphs for document in once
    ]
    assert not drops


@given(DOCUMENTS)
def test_text_comes_out_in_one_form_whatever_the_steps(documents: list[Document]) -> None:
    out = list(clean(iter(documents), [], SETTINGS, Drops()))
    assert [document.paragraphs for document in out] == [paragraphs(document.paragraphs) for document in documents]
    assert list(normalised(iter(out))) == out


def test_steps_run_in_the_order_of_their_names() -> None:
    drops = Drops()
    documents = [Document("test", "", "", ["kurz"])]
    assert not list(clean(iter(documents), ["length", "gopher_quality"], SETTINGS, drops))
    assert drops == {("length", "shorter than 3 words"): 1}
    drops.clear()
    assert not list(clean(iter(documents), ["gopher_quality", "length"], SETTINGS, drops))
    assert drops == {("gopher_quality", "fewer than 50 words"): 1}


def test_a_step_that_is_not_registered_is_refused() -> None:
    with pytest.raises(KeyError, match="wash"):
        clean(iter([]), ["wash"], SETTINGS, Drops())


def test_the_registry_loads_nothing_heavy() -> None:
    heavy = "{'numba', 'ftfy', 'py3langid', 'sentencex', 'pyarrow'} & set(sys.modules)"
    code = f"import sys, pipeline.text.cleaning; assert not {heavy}, {heavy}"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("least", "kept"), [(0, 3), (1, 2), (3, 2), (4, 1), (5, 0)])
def test_words_are_counted_over_all_paragraphs(least: int, kept: int) -> None:
    documents = [Document("test", "", "", texts) for texts in ([" \n", ""], ["one", "two\nthree"], ["a b c d"])]
    drops = Drops()
    assert len(list(STEPS["length"].run(iter(documents), Settings(minimum_words=least), drops))) == kept
    assert drops.total() == 3 - kept


@pytest.mark.parametrize(
    ("text", "words"),
    [("日本の建築家", 5), ("ひらがなカタカナ", 2), ("สวัสดีครับ", 2), ("a 中", 2), ("한국어", 1), ("", 0)],
)
def test_scripts_without_spaces_have_words_too(text: str, words: int) -> None:
    for least, kept in ((words, 1), (words + 1, 0)):
        documents = [Document("test", "", "", [text])]
        assert len(list(STEPS["length"].run(iter(documents), Settings(minimum_words=least), Drops()))) == kept
