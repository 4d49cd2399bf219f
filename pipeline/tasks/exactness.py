"""How right an answer in words is, as SQuAD's official script has it, written from its definition.

Source: Rajpurkar et al. 2018 and evaluate-v2.0.py, which judges files of 1.1 as well.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)

NO_ANSWER = ""


def normalise(text: str) -> str:
    """Bring an answer into the form that is compared: lower case, no ASCII punctuation, no articles, single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact(predicted: str, answers: Sequence[str]) -> float:
    """Give 1 if the prediction is one of the answers; no answers, or none that is left of them, stand for `NO_ANSWER`."""
    return float(normalise(predicted) in {normalise(answer) for answer in _counted(answers)})


def f1(predicted: str, answers: Sequence[str]) -> float:
    """Give the harmonic mean of precision and recall over words, with the answer that suits the prediction best."""
    return max(_overlap(normalise(predicted).split(), normalise(answer).split()) for answer in _counted(answers))


def best_threshold(margins: Sequence[float], scores: Sequence[float], answerable: Sequence[bool]) -> float:
    """Find from which margin of "no answer" on it is best not to answer.

    `margins` say by how much "no answer" is likelier than the best answer, `scores` how right that answer is. A question is
    left unanswered where its margin exceeds the threshold.

    Source: find_best_thresh of evaluate-v2.0.py: the threshold is one of the margins; of equal ones the first is taken.
    """
    best = now = float(
        sum(not has for has in answerable)
    )  # nothing answered: the questions without an answer are right
    threshold = min(margins, default=0.0) - 1.0
    for at in sorted(range(len(margins)), key=margins.__getitem__):
        now += scores[at] if answerable[at] else -1.0
        if now > best:
            best, threshold = now, margins[at]
    return threshold


def _counted(answers: Sequence[str]) -> list[str]:
    return [answer for answer in answers if normalise(answer)] or [NO_ANSWER]


def _overlap(predicted: list[str], answer: list[str]) -> float:
    if not predicted or not answer:
        return float(predicted == answer)
    same = sum((Counter(predicted) & Counter(answer)).values())
    if not same:
        return 0.0
    precision, recall = same / len(predicted), same / len(answer)
    return 2 * precision * recall / (precision + recall)
