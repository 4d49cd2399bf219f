"""The peer: Hugging Face's `Trainer` on the rows and hidden tokens of one of our orders.

What is given away in its favour: its rows come padded and masked from memory, so that its collator only slices tensors; it
logs nothing, saves nothing and evaluates nothing while its clock runs. Needs transformers and accelerate, which are no
dependencies of ours.
"""

import time
from pathlib import Path
from typing import Any

import torch

from pipeline.training.jobs import Stretch, job_of
from pipeline.training.order import Order

Stamp = tuple[float, float]
"""CPU seconds of this process, and seconds of the wall clock."""
Batch = dict[str, torch.Tensor]
NOTHING = -100


def stamp(device: str) -> Stamp:
    """Tell both clocks, once the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.process_time(), time.perf_counter()


def batches(order: Order) -> list[Batch]:
    """Load every global batch of an order, each padded to its longest row, as transformers wants them."""
    job = job_of(order)
    size = order.phases[0].global_batch
    found = []
    for step in range(1, job.steps + 1):
        at, within = job.locate(step)
        rows_B, epochs_B = job.stretches[at].sampler.take(within)
        found.append(joined([as_theirs(batch) for batch in loader(job.stretches[at], size).load(rows_B, epochs_B)]))
    return found


def joined(parts: list[Batch]) -> Batch:
    """Lay batches one below another, all as wide as the widest."""
    width = max(part["labels"].shape[1] for part in parts)
    names, label = parts[0], {"labels": NOTHING}
    return {name: torch.cat([widened(part[name], width, label.get(name, 0)) for part in parts]) for name in names}


def widened(tensor: torch.Tensor, width: int, value: int) -> torch.Tensor:
    """Pad the rows of a table; a column stays."""
    if tensor.ndim == 1:
        return tensor
    return torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]), value=value)


def loader(stretch: Stretch, micro_batch: int, *, held_out: bool = False) -> Any:
    """Make a loader of a stretch for one rank."""
    from pipeline.training.batches import Loader

    rows, masks = (stretch.held_out, stretch.held_out_masks) if held_out else (stretch.rows, stretch.masks)
    assert rows is not None
    return Loader(rows, masks, 0, 1, micro_batch, torch.device("cpu"))


def as_theirs(batch: Any) -> Batch:
    """Name the tensors of a micro-batch as transformers does."""
    labels_BT = torch.full_like(batch.ids_BT, NOTHING)
    labels_BT.view(-1)[batch.predicted_M] = batch.labels_M
    attended_BT = torch.ones_like(batch.ids_BT) if batch.attended_BT is None else batch.attended_BT.long()
    return {
        "input_ids": batch.ids_BT,
        "token_type_ids": batch.segments_BT,
        "attention_mask": attended_BT,
        "labels": labels_BT,
        "next_sentence_label": batch.label_B,
    }


def model_of(order: Order, attention_dropout: float) -> Any:
    """Make the model of an order with their code, their fresh weights and the order's dropout, but for the attention's."""
    from transformers import BertConfig, BertForMaskedLM, BertForPreTraining

    shape = order.shape
    config = BertConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=shape.max_positions,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=attention_dropout,
        initializer_range=shape.initializer_range,
    )
    torch.manual_seed(order.seed)
    return (BertForPreTraining if "nsp" in order.objectives else BertForMaskedLM)(config)


def settings_of(order: Order, per_device: int, compiled: bool) -> Any:
    """Say with which settings the Trainer runs: the order's own, and all else as it comes."""
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(Path(order.work) / "peer"),
        per_device_train_batch_size=per_device,
        gradient_accumulation_steps=order.phases[0].global_batch // per_device,
        max_steps=order.phases[0].steps,
        learning_rate=order.optimizer.learning_rate,
        weight_decay=order.optimizer.weight_decay,
        max_grad_norm=order.optimizer.clip,
        warmup_steps=order.schedule.warmup_steps,
        lr_scheduler_type="linear",
        train_sampling_strategy="sequential",
        use_cpu=order.run.device == "cpu",
        bf16=order.precision == "bf16",
        torch_compile=compiled,
        dataloader_pin_memory=order.run.device == "cuda",
        remove_unused_columns=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=order.seed,
    )


def train(order: Order, per_device: int, *, attention_dropout: float = 0.0, compiled: bool = False) -> dict[str, Any]:
    """Train, and give a stamp of the clocks after each step; the held-out loss too, where the order has held-out rows.

    The first stamp is taken before the Trainer starts; nothing of what comes before is counted. Our attention drops no
    probabilities; theirs drops none either unless asked to.
    """
    from transformers import Trainer, TrainerCallback

    stamps: list[Stamp] = []

    class Clock(TrainerCallback):
        """Stamps each step."""

        def on_step_end(self, *given: Any, **named: Any) -> None:
            """Stamp."""
            stamps.append(stamp(order.run.device))

    given, size = batches(order), order.phases[0].global_batch
    if "nsp" not in order.objectives:
        for batch in given:
            del batch["next_sentence_label"]

    def collate(numbers: list[int]) -> Batch:
        batch, rows = given[numbers[0] // size], [number % size for number in numbers]
        width = int(batch["attention_mask"][rows].sum(1).max())
        return {name: (one[rows, :width] if one.ndim == 2 else one[rows]) for name, one in batch.items()}

    trainer = Trainer(
        model=model_of(order, attention_dropout),
        args=settings_of(order, per_device, compiled),
        train_dataset=list(range(len(given) * size)),
        data_collator=collate,
        callbacks=[Clock()],
    )
    stamps.append(stamp(order.run.device))
    trainer.train()
    tokens = [int(batch["attention_mask"].sum()) for batch in given]
    return {"stamps": stamps, "tokens": tokens, **held_out(order, trainer.model)}


@torch.no_grad()
def held_out(order: Order, model: Any) -> dict[str, float]:
    """Take the masked language loss of their model on the rows and hidden tokens of our own evaluation."""
    stretch = job_of(order).stretches[-1]
    if stretch.held_out is None:
        return {}
    model.eval()
    loss_sum = correct = count = 0.0
    for batch in loader(stretch, 32, held_out=True).all_rows():
        given = {name: tensor.to(model.device) for name, tensor in as_theirs(batch).items()}
        labels_BT = given.pop("labels")
        del given["next_sentence_label"]
        output = model(**given)
        logits_BTV = output.logits if hasattr(output, "logits") else output.prediction_logits
        at_BT = labels_BT != NOTHING
        logits_MV, labels_M = logits_BTV[at_BT].float(), labels_BT[at_BT]
        loss_sum += float(torch.nn.functional.cross_entropy(logits_MV, labels_M, reduction="sum"))
        correct += float((logits_MV.argmax(-1) == labels_M).sum())
        count += len(labels_M)
    return {"held_out_loss": loss_sum / count, "held_out_accuracy": correct / count, "held_out_predicted": count}
