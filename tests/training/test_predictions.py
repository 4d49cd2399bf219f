"""What a model that has learned says of each row, and where it stands; ranks are tested elsewhere, so there are none here."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.core.arrow import read_table
from pipeline.model.encoder import initialize
from pipeline.model.heads import Learner
from pipeline.tables import predicted_schema
from pipeline.tasks.task import Kind
from pipeline.training.batches import Loader
from pipeline.training.checkpoint import State
from pipeline.training.jobs import Job, job_of
from pipeline.training.order import Order
from pipeline.training.predictions import write_predictions
from tests.training.conftest import without_dropout
from tests.training.test_finetuning import CHOICES, predicted, tuned

__all__ = ["tuned"]

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep matrices as small as these from being parted."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def learned(order: Order, job: Job) -> Learner:
    """Train as plainly as can be."""
    (stretch,) = job.stretches
    learner = Learner(order.shape, job.objectives)
    initialize(learner, order.shape, seed=1)
    optimizer = torch.optim.AdamW(learner.parameters(), 5e-3)
    for step in range(stretch.steps):
        optimizer.zero_grad()
        for batch in Loader(stretch.rows, stretch.masks, 0, 1, 1000, CPU).load(*stretch.sampler.take(step)):
            ((loss_sum, count, _),) = learner(batch).values()
            (loss_sum / count).backward()
        optimizer.step()
    return learner.eval()


def right_of(kind: Kind, dev: dict[str, list[Any]], found: dict[str, list[Any]]) -> list[bool]:
    """Tell which predictions are right."""
    if kind == "span":
        both = zip(dev["start"], dev["end"], found["starts"], found["ends"], strict=True)
        return [start == int(np.argmax(starts)) and end == int(np.argmax(ends)) for start, end, starts, ends in both]
    if kind == "tag":
        pairs = zip(dev["labels"], found["predicted"], strict=True)
        return [a == b for labels, tags in pairs for a, b in zip(labels, tags, strict=True) if a != -1]
    if kind == "regress":
        return [abs(a - b) < 0.5 for a, b in zip(dev["label"], found["predicted"], strict=True)]
    labels = dev["label"][:: CHOICES if kind == "choose" else 1]
    return [a == b for a, b in zip(labels, found["predicted"], strict=True)]


@pytest.mark.parametrize("kind", ["classify", "regress", "choose", "span", "tag"])
def test_what_is_learned_is_predicted_and_stands_at_its_row(
    kind: Kind, tuned: Callable[[Kind], Order], tmp_path: Path
) -> None:
    order = without_dropout(tuned(kind))
    order = replace(order, run=replace(order.run, micro_batch=5))
    assert order.tuning is not None
    job = job_of(order)
    learner = learned(order, job)
    state = State(1, {}, {name: one.detach() for name, one in learner.named_parameters()}, {})
    Path(order.work).mkdir()
    write_predictions(order, order.tuning, job, state, tmp_path / "dev.arrow")
    assert read_table(Path(order.work) / "predicted-dev.arrow").schema.equals(predicted_schema(kind))
    right = right_of(kind, read_table(tmp_path / "dev.arrow").to_pydict(), predicted(order))
    assert sum(right) / len(right) > 0.5
    if kind != "regress":
        (stretch,) = job.stretches
        assert stretch.held_out is not None
        loader = Loader(stretch.held_out, stretch.held_out_masks, 0, 1, 1000, CPU)
        ((_, count, correct),) = next(iter([learner(part) for part in loader.all_rows()])).values()
        assert sum(right) / len(right) == pytest.approx(float(correct / count))
