"""What goes together and what does not, over all choices there are."""

from itertools import product
from typing import get_args, get_type_hints

import pytest

from pipeline.training.combinations import ORDER, RULES, SETTINGS, Choice, refusals
from pipeline.training.order import Optimizer, Order, Running

CHOICES = [
    Choice(*one)
    for one in product(
        get_args(get_type_hints(Optimizer)["name"]),
        get_args(get_type_hints(Order)["precision"]),
        *(get_args(get_type_hints(Running)[name]) for name in ("zero_stage", "offload", "device")),
    )
]


def _refused(**given: object) -> set[Choice]:
    fitting = [one for one in CHOICES if all(getattr(one, name) == value for name, value in given.items())]
    return {one for one in fitting if list(refusals(one, SETTINGS))}


def test_on_gpus_only_stage_0_with_half_precision_and_offload_without_its_stage_are_refused() -> None:
    refused = _refused(device="cuda")
    assert refused == {
        one
        for one in CHOICES
        if one.device == "cuda"
        and (
            (one.zero_stage == 0 and (one.precision != "float32" or one.offload != "none"))
            or (one.offload == "parameters" and one.zero_stage != 3)
        )
    }


def test_every_rule_refuses_something_that_no_other_does() -> None:
    alone = [[rule for rule in RULES if rule.hits(one)] for one in CHOICES]
    assert {id(rules[0]) for rules in alone if len(rules) == 1} == {id(rule) for rule in RULES}


@pytest.mark.parametrize("called", [SETTINGS, ORDER])
def test_a_refusal_opens_with_the_settings_and_says_what_to_do(called: dict[str, str]) -> None:
    for reason in {reason for one in CHOICES for reason in refusals(one, called)}:
        assert reason.startswith(tuple(called.values()))
        assert " with " in reason.split(": ")[0]
        assert "; take " in reason
