"""Fine-tuning tasks as data. Adding a task whose layout is known: one line in TASKS."""

from pipeline.tasks.fasttext import labelled_lines
from pipeline.tasks.glue import glue
from pipeline.tasks.task import Row, Task

__all__ = ["TASKS", "Row", "Task"]

TASKS: dict[str, Task] = {
    "rte": glue(
        "does the first sentence entail the second?", ("sentence1", "sentence2"), ("entailment", "not_entailment")
    ),
    "sst2": glue("is a sentence of a film review positive?", ("sentence",), ("0", "1")),
    "polarity": labelled_lines("is a film review positive? (fastText labels)", ("neg", "pos")),
}
