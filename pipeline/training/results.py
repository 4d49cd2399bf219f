"""What a finished job leaves: weights in the Hugging Face format, the curve, the result, and predictions."""

from pathlib import Path
from typing import Any

from pipeline.core.files import write_json
from pipeline.model import huggingface
from pipeline.training.checkpoint import State
from pipeline.training.guard import Rewind
from pipeline.training.jobs import Job
from pipeline.training.journal import Line, write_curve
from pipeline.training.order import Order
from pipeline.training.predictions import write_predictions
from pipeline.training.throughput import measured


def write_results(order: Order, job: Job, state: State, lines: list[Line], rewinds: tuple[Rewind, ...]) -> None:
    """Write everything into `out`, and what depends on the clock into `work/measured.json`."""
    out = Path(order.out)
    out.mkdir(parents=True, exist_ok=True)
    huggingface.save(out, order.shape, state.weights, () if order.tuning is None else order.tuning.labels)
    write_curve(lines, out / "curve.parquet")
    write_json(out / "result.json", _result(order, state, lines, rewinds))
    write_json(Path(order.work) / "measured.json", measured([line for line in lines if "loss" in line]))
    if order.tuning is not None:
        write_predictions(order, order.tuning, job, state, out / "model.safetensors")


def _result(order: Order, state: State, lines: list[Line], rewinds: tuple[Rewind, ...]) -> dict[str, Any]:
    steps = [line for line in lines if "loss" in line]
    held_out = [line for line in lines if "loss" not in line and "event" not in line]
    skip = ("step", "phase")
    return {
        "job": order.job,
        "steps": len(steps),
        "updates": state.updates,
        "tokens": sum(line["tokens"] for line in steps),
        "sequences": sum(line["sequences"] for line in steps),
        "parameters": sum(tensor.numel() for tensor in state.weights.values()),
        "rewinds": len(rewinds),
        "skipped_batches": [{"phase": one.phase, "batch": one.batch} for one in rewinds],
        "loss": steps[-1]["loss"],
        **({name: value for name, value in held_out[-1].items() if name not in skip} if held_out else {}),
    }
