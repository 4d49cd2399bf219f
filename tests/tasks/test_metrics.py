"""Every metric against an example that others published."""

import pytest

from pipeline.tasks import TASKS
from pipeline.tasks.metrics import ENTITY_METRICS, METRICS

CONLLEVAL = """B-NP/I-NP I-NP/I-NP I-NP/I-NP B-NP/B-NP I-NP/I-NP I-NP/I-NP B-VP/B-VP B-NP/B-NP B-VP/B-VP B-NP/B-NP
I-NP/I-NP I-NP/I-NP B-VP/B-VP B-NP/B-NP I-NP/I-NP B-PP/B-PP B-NP/I-NP I-NP/I-NP B-VP/B-PP I-VP/I-VP B-NP/I-NP
I-NP/I-NP B-PP/B-PP B-NP/I-NP B-NP/B-NP I-NP/I-NP I-NP/I-NP O/O"""
"""The first sentence of the example of conlleval (CoNLL-2000, expected/predicted): I without B begins an entity too."""


@pytest.mark.parametrize(
    ("name", "labels", "predictions", "score"),
    [
        # scikit-learn's documentation of each metric
        ("accuracy", [0, 1, 2, 3], [0, 2, 1, 3], 0.5),
        ("macro_f1", [0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], 0.26666666666666666),
        ("matthews", [1, 1, 1, -1], [1, -1, 1, 1], -0.3333333333333333),
        # the card of F1 in Hugging Face's evaluate
        ("f1", [0, 1, 0, 1, 0], [0, 0, 1, 1, 0], 0.5),
        # SciPy's documentation
        ("pearson", [1, 2, 3, 4, 5, 6, 7], [10, 9, 2.5, 6, 4, 3, 2], -0.8285038835884277),
        ("spearman", [1, 2, 3, 4, 5], [5, 6, 7, 8, 7], 0.8207826816681233),
    ],
)
def test_a_metric_gives_what_is_published(
    name: str, labels: list[float], predictions: list[float], score: float
) -> None:
    assert METRICS[name](labels, predictions) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("name", ["matthews", "pearson", "spearman", "f1"])
def test_a_model_that_always_says_the_same_scores_nothing_and_warns_of_nothing(name: str) -> None:
    assert METRICS[name]([0, 1, 1, 0], [0, 0, 0, 0]) == 0


def test_one_row_is_no_correlation() -> None:
    assert METRICS["pearson"]([1.0], [2.0]) == METRICS["spearman"]([1.0], [2.0]) == 0


def test_entities_are_counted_as_conlleval_counts_them() -> None:
    """Its report: 28 tokens with 15 phrases; found 16; correct 14; 82.14%; 87.50%; 93.33%; 90.32."""
    both = [pair.split("/") for pair in CONLLEVAL.split()]
    expected, predicted = [[pair[0] for pair in both]], [[pair[1] for pair in both]]
    found = {name: round(100 * metric(expected, predicted), 2) for name, metric in ENTITY_METRICS.items()}
    assert found == {"accuracy": 82.14, "precision": 87.5, "recall": 93.33, "f1": 90.32}


def test_entities_are_counted_as_seqeval_says_it_does() -> None:
    expected = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    predicted = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    assert ENTITY_METRICS["f1"](expected, predicted) == 0.5


def test_tags_without_begins_make_entities_of_neighbours_of_a_type() -> None:
    expected = [["I-PER", "I-PER", "O", "I-LOC", "I-PER"]]
    assert ENTITY_METRICS["f1"](expected, expected) == 1
    assert ENTITY_METRICS["recall"](expected, [["I-PER", "O", "O", "I-LOC", "I-PER"]]) == pytest.approx(2 / 3)
    assert ENTITY_METRICS["f1"](expected, [["O"] * 5]) == 0  # and no warning


def test_every_task_is_judged_by_metrics_that_there_are() -> None:
    known = {"tag": set(ENTITY_METRICS), "span": {"f1", "exact"}}
    for name, task in TASKS.items():
        assert task.metrics, name
        assert set(task.metrics) <= known.get(task.kind, set(METRICS)), name
