"""The cases follow evaluate-v2.0.py, the official script of SQuAD; each is worked out by hand from its text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tasks.exactness import best_threshold, exact, f1, normalise


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Normans", "normans"),
        ("an  apple,\ta day", "apple day"),
        ("Theatre and a band", "theatre and band"),  # articles are whole words
        ("the-end", "theend"),  # punctuation goes before articles, and leaves no space
        ("a.", ""),
        ("U.S.A.", "usa"),
        ("“quoted” — dash", "“quoted” — dash"),  # ASCII punctuation only
        ("$5,000.50", "500050"),
        ("", ""),
    ],
)
def test_answers_are_compared_without_case_punctuation_articles_and_spaces(text: str, normal: str) -> None:
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("predicted", "answers", "is_exact", "overlap"),
    [
        ("the Normans!", ["Normans"], 1, 1),
        ("10th and 11th", ["in the 10th and 11th centuries"], 0, 2 * 1 * 0.6 / 1.6),  # 3 of 3 words, 3 of 5
        ("10th and 11th", ["in the 10th and 11th centuries", "10th and 11th"], 1, 1),  # the best of several
        ("Paris", ["London", "Rome"], 0, 0),
        ("", ["Paris"], 0, 0),
        ("", [], 1, 1),  # no answer, and none given
        ("Paris", [], 0, 0),
        ("the", [], 1, 1),  # normalises to nothing
        ("", ["the", "Paris"], 0, 0),  # answers that normalise to nothing are not counted ...
        ("", ["the"], 1, 1),  # ... and if none is left it is a question without an answer
        ("the the cat", ["cat cat"], 0, 2 * 1 * 0.5 / 1.5),  # words are counted as often as they stand there
        ("cat cat", ["cat"], 0, 2 * 0.5 * 1 / 1.5),
    ],
)
def test_answers_are_scored_as_by_the_official_script(
    predicted: str, answers: list[str], is_exact: int, overlap: float
) -> None:
    assert exact(predicted, answers) == is_exact
    assert f1(predicted, answers) == pytest.approx(overlap)


answers = st.text("ab Theán.,-", max_size=12)


@settings(deadline=None)
@given(predicted=answers, given=st.lists(answers, max_size=3))
def test_an_exact_answer_has_full_overlap_and_scores_lie_between_none_and_all(predicted: str, given: list[str]) -> None:
    assert 0 <= f1(predicted, given) <= 1
    assert exact(predicted, given) in (0, 1)
    assert exact(predicted, given) <= f1(predicted, given)
    assert f1(predicted, [predicted, *given]) == 1 or normalise(predicted) == ""


@pytest.mark.parametrize(
    ("margins", "scores", "answerable", "threshold"),
    [
        ([-5.0, 5.0], [1.0, 0.0], [True, False], -5.0),
        ([-5.0, -4.0, 3.0], [1.0, 0.5, 0.0], [True, True, False], -4.0),
        ([-5.0, -4.0], [0.0, 1.0], [False, False], -6.0),  # never answer
        ([-5.0, 1.0], [0.0, 1.0], [False, True], -6.0),  # one lost for one won: of equal thresholds the first
        ([-5.0, 1.0, 2.0], [0.0, 1.0, 1.0], [False, True, True], 2.0),
        ([], [], [], -1.0),
    ],
)
def test_the_threshold_is_where_most_is_right(
    margins: list[float], scores: list[float], answerable: list[bool], threshold: float
) -> None:
    assert best_threshold(margins, scores, answerable) == threshold


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-9, 9), st.floats(0, 1), st.booleans()), min_size=1, max_size=8, unique_by=lambda q: q[0]
    )
)
def test_no_other_threshold_is_better(questions: list[tuple[float, float, bool]]) -> None:
    def total(threshold: float) -> float:
        return sum(
            (score if has else 0.0) if margin <= threshold else float(not has) for margin, score, has in questions
        )

    margins, scores, answerable = (list(column) for column in zip(*questions, strict=True))
    best = best_threshold(margins, scores, answerable)
    assert total(best) == pytest.approx(max(total(other) for other in [-10.0, *margins]))
