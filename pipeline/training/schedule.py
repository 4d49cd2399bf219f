"""The learning rate as a pure function of the step.

Step number s of S with w steps of warm-up is step s of S + 1 with w + 1 in transformers' schedules of the same names:
those begin with a step at zero, and would make one more at zero at the end, which both teach nothing.
"""

import math
from collections.abc import Callable

from pipeline.training.order import Schedule


def learning_rate(schedule: Schedule, *, peak: float, step: int, steps: int) -> float:
    """Return the rate of update number `step` (the first is 1) of `steps`: linear warm-up to the peak, then down.

    The decay would reach zero one update after the last, so that the last one still counts.
    """
    if step <= schedule.warmup_steps:
        return peak * step / (schedule.warmup_steps + 1)
    return peak * _SHARES[schedule.name](schedule, step, steps)


def _linear(schedule: Schedule, step: int, steps: int) -> float:
    """Source: Devlin et al. 2019, appendix A.2; google-research/bert optimization.py."""
    return (steps + 1 - step) / (steps - schedule.warmup_steps)


def _cosine(schedule: Schedule, step: int, steps: int) -> float:
    """Source: Loshchilov and Hutter 2017, SGDR, equation 5, without restarts."""
    return (1 + math.cos(math.pi * (1 - _linear(schedule, step, steps)))) / 2


def _stable(schedule: Schedule, step: int, steps: int) -> float:
    """Stay at the peak, then fall as one less the root of the share of the decay that is over.

    Source: Hägele et al. 2024, Scaling laws and compute-optimal training beyond fixed training durations, section 3;
    the decay of ModernBERT, Warner et al. 2024.
    """
    decay = min(schedule.decay_steps or math.ceil(steps / 10), steps - schedule.warmup_steps)
    return 1 - math.sqrt(max(0, decay - (steps + 1 - step)) / decay)


_SHARES: dict[str, Callable[[Schedule, int, int], float]] = {"linear": _linear, "cosine": _cosine, "wsd": _stable}
"""What is left of the peak after warm-up."""
