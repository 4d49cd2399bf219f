"""How fast it goes, and how much of the machine that is: figures derived from the curve journal, off the hot path."""

import math
import re
from collections.abc import Mapping, Sequence

from pipeline.model.shape import Shape, flops_per_token

PEAK_TFLOPS = {
    "GB200": 2500.0,
    "B200": 2250.0,
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "A30": 165.0,
    "A10G": 70.0,
    "A10": 125.0,
    "L40S": 362.0,
    "L40": 181.0,
    "L4": 121.0,
    "V100": 125.0,
    "T4": 65.0,
    "RTX 4090": 165.0,
    "RTX 3090": 71.0,
}
"""Words of a device's name -> dense bf16 (before Ampere: fp16) operations a second / 10^12. Source: NVIDIA data sheets."""

HIGHEST_NATS = 700.0
"""e to much more is no number."""


def peak_tflops(device: str) -> float | None:
    """Return what a device can do by the table, the longest name first; None if it is not in it."""
    found = [name for name in PEAK_TFLOPS if re.search(rf"\b{name}\b", device, re.IGNORECASE)]
    return PEAK_TFLOPS[max(found, key=len)] if found else None


def flop_utilisation(
    shape: Shape, *, tokens_per_second: float, peak_flops: float, attended: float, predicted_share: float
) -> float:
    """Return the share of `peak_flops` (operations a second, all ranks) that the model's own arithmetic uses."""
    return tokens_per_second * flops_per_token(shape, attended=attended, predicted_share=predicted_share) / peak_flops


def derived(line: Mapping[str, float], shape: Shape, peak_flops: float | None) -> dict[str, float]:
    """Derive a step's rates and shares from its journal line; without a peak there is no utilisation."""
    seconds, tokens = line["seconds"], line["tokens"]
    if not seconds or not tokens:
        return {}
    rate = tokens / seconds
    figures = {
        "tokens_per_second": rate,
        "examples_per_second": line["sequences"] / seconds,
        "padding_share": 1.0 - tokens / line["cells"],
        "data_share": line["data_seconds"] / seconds,
    }
    if peak_flops:
        share = line["predicted"] / tokens
        figures["flop_utilisation"] = flop_utilisation(
            shape, tokens_per_second=rate, peak_flops=peak_flops, attended=line["attended"], predicted_share=share
        )
    return figures


def perplexity(line: Mapping[str, float]) -> dict[str, float]:
    """Give the perplexity of held-out masked tokens: e to the loss in nats. Nothing where there is no such loss."""
    loss = line.get("held_out_mlm_loss")
    return {} if loss is None else {"held_out_mlm_perplexity": math.exp(min(loss, HIGHEST_NATS))}


def measured(lines: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Sum up the wall clock of the curve journal's step lines; attempts that were thrown away are not in them."""
    seconds = sum(line["seconds"] for line in lines)
    tokens, cells = sum(line["tokens"] for line in lines), sum(line["cells"] for line in lines)
    return {
        "seconds": seconds,
        "tokens_per_second": tokens / seconds if seconds else 0.0,
        "data_share": sum(line["data_seconds"] for line in lines) / seconds if seconds else 0.0,
        "padding_share": 1.0 - tokens / cells if cells else 0.0,
        "checkpoint_seconds": sum(line.get("checkpoint_seconds", 0.0) for line in lines),
        "memory_bytes": max((line.get("memory_bytes", 0.0) for line in lines), default=0.0),
    }
