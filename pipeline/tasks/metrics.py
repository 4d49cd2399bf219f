"""Metrics of tasks, from scikit-learn and SciPy. Adding one: one line in METRICS."""

import math
from collections.abc import Callable, Sequence

Metric = Callable[[Sequence[float], Sequence[float]], float]
"""(answers, predictions) to a score; higher is better."""


def accuracy(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Give the share of rows that are right."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels, predictions))


def f1(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Give the harmonic mean of precision and recall of the class with index 1; 0 where it is never predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, labels=[1], average="macro", zero_division=0.0))


def macro_f1(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Give the mean over the classes of the F1 of each."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0.0))


def matthews(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Give Matthews' correlation coefficient; 0 where all rows are given the same class.

    Source: Matthews 1975; what the Corpus of Linguistic Acceptability is scored by (Warstadt et al. 2019).
    """
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


def pearson(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Give the linear correlation; 0 where there is none to speak of, as one side is constant."""
    from scipy.stats import pearsonr

    return _correlation(pearsonr, labels, predictions)


def spearman(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Give the correlation of the ranks; 0 where there is none to speak of, as one side is constant."""
    from scipy.stats import spearmanr

    return _correlation(spearmanr, labels, predictions)


def _correlation(
    correlate: Callable[..., tuple[float, float]], labels: Sequence[float], predictions: Sequence[float]
) -> float:
    if len(set(labels)) < 2 or len(set(predictions)) < 2:
        return 0.0
    value = float(correlate(labels, predictions)[0])
    return value if math.isfinite(value) else 0.0


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}

Tags = Sequence[Sequence[str]]
"""A tag for each word of each sentence."""


def _entities(name: str) -> Callable[[Tags, Tags], float]:
    """Count entities as conlleval does: one is right if its words and its type are."""

    def measure(tags: Tags, predictions: Tags) -> float:
        from seqeval import metrics

        return float(getattr(metrics, name)(tags, predictions, zero_division=0))

    return measure


def _word_accuracy(tags: Tags, predictions: Tags) -> float:
    from seqeval.metrics import accuracy_score

    return float(accuracy_score(tags, predictions))


ENTITY_METRICS: dict[str, Callable[[Tags, Tags], float]] = {
    "f1": _entities("f1_score"),
    "precision": _entities("precision_score"),
    "recall": _entities("recall_score"),
    "accuracy": _word_accuracy,
}
"""Metrics of entities, from seqeval; `accuracy` is that of words."""
