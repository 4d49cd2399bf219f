"""How fast it goes, and how much of the machine that is."""

from pipeline.model.shape import Shape, flops_per_token


def flop_utilisation(
    shape: Shape, *, tokens_per_second: float, peak_flops: float, attended: float, predicted_share: float
) -> float:
    """Return the share of `peak_flops` (operations a second, all ranks) that the model's own arithmetic uses."""
    return tokens_per_second * flops_per_token(shape, attended=attended, predicted_share=predicted_share) / peak_flops


def measured(lines: list[dict[str, float]]) -> dict[str, float]:
    """Sum up the wall clock of the curve journal's step lines; attempts that were thrown away are not in them."""
    seconds = sum(line["seconds"] for line in lines)
    tokens, cells = sum(line["tokens"] for line in lines), sum(line["cells"] for line in lines)
    return {
        "seconds": seconds,
        "tokens_per_second": tokens / seconds if seconds else 0.0,
        "data_share": sum(line["data_seconds"] for line in lines) / seconds if seconds else 0.0,
        "padding_share": 1.0 - tokens / cells if cells else 0.0,
    }
