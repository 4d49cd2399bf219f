"""Fine-tuning tasks as data. Adding a task whose layout is known: one line in TASKS."""

from pipeline.tasks.choices import codah, swag
from pipeline.tasks.columns import named_columns
from pipeline.tasks.conll import conll
from pipeline.tasks.fasttext import labelled_lines
from pipeline.tasks.glue import MATCHED, cola, glue, glue_scores
from pipeline.tasks.separated import joined
from pipeline.tasks.squad import squad
from pipeline.tasks.task import Row, Task

__all__ = ["TASKS", "Row", "Task"]

PAIR = ("sentence1", "sentence2")
ENTAILMENT = ("entailment", "not_entailment")

TASKS: dict[str, Task] = {
    "rte": glue("does the first sentence entail the second?", PAIR, ENTAILMENT),
    "sst2": glue("is a sentence of a film review positive?", ("sentence",), ("0", "1")),
    "cola": cola(),
    "mrpc": glue(
        "do two sentences say the same?",
        ("#1 String", "#2 String"),
        ("0", "1"),
        ("f1", "accuracy"),
        label_column="Quality",
    ),
    "qqp": glue(
        "do two questions ask the same?",
        ("question1", "question2"),
        ("0", "1"),
        ("f1", "accuracy"),
        label_column="is_duplicate",
        cells=joined,  # a few questions hold a line end: line 97,931 of the official training set is half a row
    ),
    "stsb": glue_scores("how alike are two sentences, from 0 to 5?", PAIR),
    "mnli": glue(
        "does the second sentence follow from the first, contradict it, or neither?",
        PAIR,
        ("contradiction", "entailment", "neutral"),
        label_column="gold_label",
        names=MATCHED,
    ),
    "qnli": glue("does a sentence answer a question?", ("question", "sentence"), ENTAILMENT),
    "wnli": glue("does a sentence follow when a pronoun is resolved?", PAIR, ("0", "1")),
    "table": named_columns("which class is a text or pair, in named columns?", "classify", ("accuracy", "macro_f1")),
    "table_scores": named_columns(
        "which number has a text or pair, in named columns?", "regress", ("spearman", "pearson")
    ),
    "squad": squad(),
    "swag": swag(),
    "codah": codah(),
    "conll": conll(),
    "polarity": labelled_lines("is a film review positive? (fastText labels)", ("neg", "pos")),
}
