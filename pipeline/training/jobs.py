"""What an order asks for as objects: objectives, and stretches of training with their rows and masks.

Pretraining and fine-tuning differ here and in what is written at the end; the loop is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.core.seeds import seed_of
from pipeline.model.attention import chosen
from pipeline.objectives import OBJECTIVES, Objective
from pipeline.objectives.labelled import objective_of
from pipeline.tables import Next
from pipeline.training.batches import Ints, Masks, Padded, Rows, static_masks
from pipeline.training.labels import labelled_rows
from pipeline.training.order import Masking, Order, Phase, Tuning
from pipeline.training.sampler import Sampler, Sizes


@dataclass(frozen=True)
class Stretch:
    """A phase of pretraining, or the whole of fine-tuning."""

    rows: Rows
    masks: Masks | None
    held_out: Rows | None
    held_out_masks: Masks | None
    sampler: Sampler
    steps: int
    bounded: bool = False  # it has as many batches as steps

    def batch_of(self, within: int, skipped: frozenset[int]) -> int:
        """Return the number of the batch after `within` others, where some are passed over.

        A bounded stretch that passes over one begins again with its first at the end.
        """
        if self.bounded:
            left = [number for number in range(self.steps) if number not in skipped] or [0]
            return left[within % len(left)]
        for number in sorted(skipped):
            within += number <= within
        return within


@dataclass(frozen=True)
class Job:
    """What the loop runs."""

    objectives: Mapping[str, Objective]
    stretches: tuple[Stretch, ...]

    @property
    def steps(self) -> int:
        """Steps of all stretches."""
        return sum(stretch.steps for stretch in self.stretches)

    def locate(self, step: int) -> tuple[int, int]:
        """Return the stretch that step number `step` (from 1) is in, and how many of its steps come before."""
        before = 0
        for at, stretch in enumerate(self.stretches):
            if step <= before + stretch.steps:
                return at, step - before - 1
            before += stretch.steps
        raise IndexError(f"step {step} of {before}")


def job_of(order: Order) -> Job:
    """Open the data that an order names.

    Raises: DataError if there are none, or rows are longer than the order says.
    """
    if order.tuning is not None:
        kind = order.tuning.kind
        learned = objective_of(kind, len(order.tuning.labels), order.tuning.choices)
        return Job({kind: learned}, (_fine_tuning(order, order.tuning),))
    objectives = {name: OBJECTIVES[name] for name in order.objectives}
    return Job(objectives, tuple(_pretraining(order, at, phase) for at, phase in enumerate(order.phases)))


def lays_packed(order: Order, device: torch.device) -> bool:
    """Say whether rows are laid one behind another: where a kernel takes them so, and those of tasks on a CPU as well.

    Tasks have rows of all lengths: a fifth of what a batch of SST-2 was padded to was padding, and each micro-batch more
    that would lessen it costs the gradients of all weights once more. Rows of pretraining are nearly full.
    """
    if order.tuning is not None and order.run.attention == "auto" and device.type == "cpu":
        return True
    return chosen(order.run.attention, device, order.precision) == "varlen"


def _fine_tuning(order: Order, tuning: Tuning) -> Stretch:
    rows, masks = labelled_rows(tuning, tuning.train, order.shape.max_positions)
    dev, dev_masks = labelled_rows(tuning, tuning.dev, order.shape.max_positions)
    sampler = Sampler(rows.units, tuning.batch, order.seed, "finetune", epochs=tuning.epochs)
    steps = -(-rows.units * tuning.epochs // tuning.batch)
    return Stretch(rows, masks, dev, dev_masks, sampler, steps, bounded=True)


def _pretraining(order: Order, at: int, phase: Phase) -> Stretch:
    def open_rows(paths: Sequence[str], most: int | None = None) -> Rows:
        return Rows(paths, nothing=Next.NONE, longest=phase.sequence_length, most=most)

    rows = open_rows(phase.examples)
    held_out = open_rows(phase.held_out, order.evaluate_rows) if phase.held_out else None
    return Stretch(
        rows,
        _masks(order, rows, "masks", at),
        held_out,
        _masks(order, held_out, "held-out", at),
        Sampler(len(rows), _sizes(phase), order.seed, at),
        phase.steps,
    )


def _sizes(phase: Phase) -> Sizes:
    return Sizes(phase.global_batch, phase.first_batch, phase.batch_warmup_steps)


def _masks(order: Order, rows: Rows | None, *names: str | int) -> Masks | None:
    masking = order.masking
    if masking is None or rows is None:
        return None
    return (
        static_masks(rows) if masking.mode == "static" else _dynamic_masks(order, masking, seed_of(order.seed, *names))
    )


def _dynamic_masks(order: Order, masking: Masking, seed: int) -> Masks:
    from pipeline.objectives.masking import Scheme, mask_batch

    scheme = Scheme(
        seed=seed,
        unit=masking.unit,
        rate=masking.rate,
        vocab_size=order.shape.vocab_size,
        special_ids=masking.special_ids,
        mask_id=masking.mask_id,
        continues_V=_continues(masking, order.shape.vocab_size),
    )

    def draw(padded: Padded) -> tuple[Ints, Ints, Ints]:
        masked = mask_batch(scheme, padded.ids_BT, padded.lengths_B, padded.rows_B, padded.epochs_B)
        return masked.ids_BT, masked.at_M, masked.labels_M

    return draw


def _continues(masking: Masking, vocab_size: int) -> NDArray[np.bool_] | None:
    """Mark the pieces that continue a word."""
    if masking.unit == "token":
        return None
    assert masking.tokenizer is not None
    from pipeline.text.encode import continues, load

    continues_V = continues(load(Path(masking.tokenizer)))
    if len(continues_V) != vocab_size:
        raise DataError(f"{masking.tokenizer}: has {len(continues_V)} pieces, the order's shape wants {vocab_size}")
    return continues_V
