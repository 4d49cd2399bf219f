"""The parts of training.py: each runs what it compares in turn and gives figures by name."""

from collections.abc import Iterable
from statistics import median
from typing import Any

from training_data import pairs, place_in, small
from training_runs import Bench, Found, cpu_rate, run, steps_of, wall_rate

BATCH, MICRO = 32, 16
"""Rows of a global batch of 128 tokens, and those that pass through our model at a time."""
PER_DEVICE = (32, 8)
"""The peer may take a global batch at once or in four parts: the faster counts."""
OURS: dict[str, Any] = {"run_micro_batch": MICRO, "run_zero_stage": 1}
SMALL_STEPS, SMALL_BATCH = 1500, 32
"""3.07 million tokens in rows of 64."""
RATES = (5e-4, 1e-3, 2e-3)
SIDES: dict[str, dict[str, Any]] = {
    "peer": {"shape_dropout": 0.1},
    "bert": {"shape_dropout": 0.0, "shape_architecture": "bert", "run_zero_stage": 1},
    "modern": {"shape_dropout": 0.0, "shape_architecture": "modern", "run_zero_stage": 1},
}
"""Who learns on the small scale, and what differs from the defaults of an order."""
PADDED_BATCH = 256
"""Rows of a global batch as in Devlin et al. 2019."""


def speed(bench: Bench) -> dict[str, float]:
    """Tokens a second of our loop and of the peer's, same rows, same hidden tokens, same dropout, float32."""
    place = pairs(bench.data, bench.folder, 128, quick=bench.quick)
    found: dict[str, list[Found]] = {}
    for repeat in _repeats(bench):
        for side in ("ours", *(f"peer-{size}" for size in PER_DEVICE if bench.peer)):
            what, _, size = side.partition("-")
            settings = OURS if what == "ours" else {"per_device": int(size)}
            made = run(bench, what, f"speed-{side}-{repeat}", place, "mini", **_length(bench), **settings)
            found.setdefault(side, []).append(made)
    cpu = {side: median(map(cpu_rate, runs)) for side, runs in found.items()}
    wall = {side: median(map(wall_rate, runs)) for side, runs in found.items()}
    figures = {f"speed_{side}_tokens_per_cpu_second": rate for side, rate in cpu.items()}
    figures |= {f"speed_{side}_tokens_per_second": rate for side, rate in wall.items()}
    if bench.peer:
        figures |= {"speed_ratio": _against(cpu), "speed_ratio_of_wall_clock": _against(wall)}
        figures |= {"speed_ratio_lowest": min(_against(one) for one in _by_repeat(found))}
    return figures


def _against(rates: dict[str, float]) -> float:
    return rates["ours"] / max(rate for side, rate in rates.items() if side != "ours")


def _by_repeat(found: dict[str, list[Found]]) -> Iterable[dict[str, float]]:
    for runs in zip(*found.values(), strict=True):
        yield {side: cpu_rate(one) for side, one in zip(found, runs, strict=True)}


def waiting(bench: Bench) -> dict[str, float]:
    """What share of our steps waits for data, and how much faster the loader alone is than the steps."""
    place = pairs(bench.data, bench.folder, 128, quick=bench.quick)
    stepping = run(bench, "ours", "speed-ours-0", place, "mini", **_length(bench), **OURS)
    lines = stepping["lines"][2:]
    alone = run(bench, "loading", "loading-128", place, "mini", steps=60, global_batch=BATCH, **OURS)
    return {
        "waiting_share_of_step": sum(line["data_seconds"] for line in lines) / sum(line["seconds"] for line in lines),
        "waiting_loader_tokens_per_cpu_second": cpu_rate(alone),
        "waiting_loader_vs_step": cpu_rate(alone) / cpu_rate(stepping),
    }


def overhead(bench: Bench) -> dict[str, float]:
    """Our step on one rank against forward, backward, clip and AdamW in bare torch; at the stage of `speed` and at 2."""
    place = pairs(bench.data, bench.folder, 128, quick=bench.quick)
    ratios: dict[str, list[float]] = {"overhead_engine_vs_bare": [], "overhead_zero_2_vs_bare": []}
    for repeat in _repeats(bench):
        bare = run(bench, "bare", f"overhead-bare-{repeat}", place, "mini", **_length(bench), **OURS)
        for name, stage in zip(ratios, (1, 2), strict=True):
            settings = OURS | {"run_zero_stage": stage}
            made = run(bench, "ours", f"{name}-{repeat}", place, "mini", **_length(bench), **settings)
            ratios[name].append(cpu_rate(bare) / cpu_rate(made))
    return {name: median(each) for name, each in ratios.items()}


def gang(bench: Bench) -> dict[str, float]:
    """Our step on the one rank of a Ray Train group against bare torch."""
    place = pairs(bench.data, bench.folder, 128, quick=bench.quick)
    ratios = []
    for repeat in _repeats(bench):
        bare = run(bench, "bare", f"overhead-bare-{repeat}", place, "mini", **_length(bench), **OURS)
        made = run(bench, "gang", f"gang-{repeat}", place, "mini", **_length(bench), **OURS)
        ratios.append(cpu_rate(bare) / cpu_rate(made))
    return {"gang_vs_bare": median(ratios)}


def padding(bench: Bench) -> dict[str, float]:
    """What share of the computed tokens is padding, with no variable-length attention."""
    figures = {}
    for length in (128, 512):
        place = pairs(bench.data, bench.folder, length, quick=bench.quick)
        settings = {"steps": 20, "global_batch": PADDED_BATCH, "run_micro_batch": 32}
        found = run(bench, "loading", f"padding-{length}", place, "mini", **settings)
        figures[f"padding_share_{length}"] = 1 - sum(found["tokens"]) / sum(found["cells"])
    return figures


def stall(bench: Bench) -> dict[str, float]:
    """How long the loop stands still for a checkpoint, in steps: the median over the checkpoints of a run."""
    place = pairs(bench.data, bench.folder, 128, quick=bench.quick)
    steps = {"steps": 6 if bench.quick else 16, "global_batch": BATCH}
    found = run(bench, "ours", "stall", place, "mini", **steps, **OURS, run_checkpoint_steps=3)
    stalls = [line["checkpoint_seconds"] for line in found["lines"] if line.get("checkpoint_seconds")]
    if not stalls:
        return {}
    step = median(line["seconds"] for line in found["lines"][2:])
    return {"stall_seconds": median(stalls), "stall_in_steps": median(stalls) / step, "stall_checkpoints": len(stalls)}


def learning(bench: Bench) -> dict[str, float]:
    """Held-out loss and CPU seconds on the small scale, each side with the best of the same three learning rates."""
    place = small(bench.data, bench.folder)
    figures: dict[str, float] = {"learning_unigram_nats": place_in(place).unigram_nats}
    best: dict[str, Found] = {}
    for side, settings in SIDES.items():
        if side == "peer" and not bench.peer:
            continue
        rates = [rate for rate in RATES if not bench.kept_only or _is_kept(bench, side, rate)]
        found = {rate: _learned(bench, side, rate, settings) for rate in rates}
        figures[f"learning_{side}_rates_tried"] = len(found)
        if not found:
            continue
        for rate, one in found.items():
            figures[f"learning_{side}_{rate:g}_held_out_loss"] = one["held_out_loss"]
        best[side] = min(found.values(), key=lambda one: float(one["held_out_loss"]))
        figures[f"learning_{side}_held_out_loss"] = best[side]["held_out_loss"]
        figures[f"learning_{side}_held_out_accuracy"] = best[side]["held_out_accuracy"]
        figures[f"learning_{side}_cpu_seconds"] = _cpu_seconds(best[side])
    return figures | _compared(best)


def _is_kept(bench: Bench, side: str, rate: float) -> bool:
    return (bench.folder / "runs" / f"learning-{side}-{rate:g}.json").exists()


def _learned(bench: Bench, side: str, rate: float, settings: dict[str, Any]) -> Found:
    what = {"per_device": SMALL_BATCH, "attention_dropout": 0.1} if side == "peer" else {"run_micro_batch": SMALL_BATCH}
    return run(
        bench,
        "peer" if side == "peer" else "ours",
        f"learning-{side}-{rate:g}",
        small(bench.data, bench.folder),
        "tiny",
        steps=SMALL_STEPS,
        global_batch=SMALL_BATCH,
        objectives=("mlm",),
        evaluate=True,
        learning_rate=rate,
        **settings,
        **what,
    )


def _compared(best: dict[str, Found]) -> dict[str, float]:
    if "peer" not in best:
        return {}
    figures, peer = {}, best.pop("peer")
    for side, one in best.items():
        figures[f"learning_{side}_nats_below_peer"] = peer["held_out_loss"] - one["held_out_loss"]
        figures[f"learning_{side}_share_of_peer_cpu"] = _cpu_seconds(one) / _cpu_seconds(peer)
    return figures


def _cpu_seconds(found: Found) -> float:
    """Sum the CPU seconds of all steps, the first too; imports and evaluation are not in it."""
    return sum(cpu for cpu, _, _ in steps_of(found, warm=0))


def _length(bench: Bench) -> dict[str, int]:
    return {"steps": 4 if bench.quick else 8, "global_batch": BATCH}


def _repeats(bench: Bench) -> range:
    return range(1 if bench.quick else 3)
