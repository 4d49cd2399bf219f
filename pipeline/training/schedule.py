"""The learning rate as a pure function of the step."""

from pipeline.training.order import Schedule


def learning_rate(schedule: Schedule, *, peak: float, step: int, steps: int) -> float:
    """Return the rate of update number `step` (the first is 1) of `steps`: linear warm-up, linear decay.

    The decay would reach zero one update after the last, so that the last one still counts.
    Source: Devlin et al. 2019, appendix A.2; google-research/bert optimization.py.
    """
    if step <= schedule.warmup_steps:
        return peak * step / (schedule.warmup_steps + 1)
    return peak * (steps + 1 - step) / (steps - schedule.warmup_steps)
